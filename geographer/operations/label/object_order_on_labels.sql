-- object_order_on_labels.sql: the order in which the features on each label $name were added; nothing unless $by_order
-- needs: padded_raster, current_drawn_feature, current_feature, feature_order, $name, $by_order
-- · makes: one result: label, raster_id, feature_id, order_index
SELECT $name::VARCHAR AS label, raster_id, feature_id, row_number() OVER (PARTITION BY raster_id ORDER BY added, added_by, feature_id) AS order_index
FROM padded_raster JOIN current_drawn_feature USING (raster_key)
JOIN (SELECT feature_key, feature_id FROM current_feature) USING (feature_key) JOIN feature_order USING (feature_id)
WHERE $by_order::BOOLEAN
ORDER BY raster_id, order_index;
