-- object_order_on_labels.sql: in which order were the features added that the rasters of the labels $name show?
SELECT $name::VARCHAR AS label, raster_id, feature_id, row_number() OVER (PARTITION BY raster_id ORDER BY added, feature_id) AS place
FROM grown JOIN shown_now USING (raster_key)
JOIN (SELECT feature_key, feature_id FROM feature_now) USING (feature_key) JOIN feature_order USING (feature_id)
WHERE $by_order::BOOLEAN
ORDER BY raster_id, place;
