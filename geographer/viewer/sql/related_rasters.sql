-- related_rasters.sql: the rasters and chips that show a feature of a revision, in the order of addition
-- needs: current_feature, current_raster, current_edge, $id, $limit · makes: one result: raster_id, collection, is_chip, contains
SELECT raster_id, collection, parent_id IS NOT NULL AS is_chip, contains
FROM (SELECT feature_key FROM current_feature WHERE feature_id = $id)
JOIN current_edge USING (feature_key)
JOIN (SELECT raster_key, raster_id, collection, parent_id FROM current_raster) USING (raster_key)
ORDER BY raster_key LIMIT $limit;
