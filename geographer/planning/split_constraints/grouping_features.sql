-- grouping_features.sql: which of the grouped rasters show which selected features, with the features' classes
-- needs: grouping_feature, grouped_raster, current_edge, current_feature · makes: one result: feature_id, class, raster_index
SELECT feature_id, class, raster_index
FROM current_edge JOIN grouped_raster USING (raster_key)
JOIN (SELECT feature_key, feature_id, class FROM current_feature SEMI JOIN grouping_feature USING (feature_key))
USING (feature_key)
ORDER BY feature_key, raster_index;
