-- related_features.sql: the features that a raster of a revision shows, in the order of addition
-- needs: current_feature, current_raster, current_edge, $id, $limit · makes: one result: feature_id, class, contains
SELECT feature_id, class, contains
FROM (SELECT raster_key FROM current_raster WHERE raster_id = $id)
JOIN current_edge USING (raster_key)
JOIN (SELECT feature_key, feature_id, class FROM current_feature) USING (feature_key)
ORDER BY feature_key LIMIT $limit;
