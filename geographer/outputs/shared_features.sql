-- shared_features.sql: the rasters of the same collection that show a feature of the raster $id, each with the first such feature
-- needs: current_raster, current_edge, current_feature, $id · makes: one result: raster_id, feature_id
WITH raster AS (
    SELECT raster_key, collection FROM current_raster WHERE raster_id = $id
), feature AS (
    SELECT feature_key FROM current_edge SEMI JOIN raster USING (raster_key)
)
SELECT raster_id, min(feature_id) AS feature_id
FROM current_edge SEMI JOIN feature USING (feature_key)
JOIN (SELECT raster_key, raster_id FROM current_raster SEMI JOIN raster USING (collection)) USING (raster_key)
JOIN (SELECT feature_key, feature_id FROM current_feature) USING (feature_key)
WHERE raster_id <> $id
GROUP BY raster_id;
