-- split_classes.sql: the features of each class that the rasters of each part of a split show; a feature counts once in a part
-- needs: current_split, current_raster, current_edge, current_feature, classes, $split · makes: one result: class, part, features
SELECT class, part, count(DISTINCT feature_key) AS features
FROM (SELECT raster_id, part FROM current_split WHERE split = $split AND part IS NOT NULL)
JOIN (SELECT raster_id, raster_key FROM current_raster) USING (raster_id)
JOIN current_edge USING (raster_key)
JOIN (SELECT feature_key, class FROM current_feature) USING (feature_key)
JOIN (SELECT class, value FROM classes) USING (class)
GROUP BY class, value, part ORDER BY value, class, part;
