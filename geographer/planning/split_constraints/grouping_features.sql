-- grouping_features.sql: which rasters of $collection (index in order of id) show which selected features, with the features' classes
-- needs: grouping_feature, current_raster, current_edge, current_feature, $collection · makes: one result: feature_id, class, raster_index
WITH member AS (
    SELECT row_number() OVER (ORDER BY raster_id) - 1 AS raster_index, raster_key
    FROM current_raster WHERE collection = $collection
)
SELECT feature_id, class, raster_index
FROM current_edge JOIN member USING (raster_key)
JOIN (SELECT feature_key, feature_id, class FROM current_feature SEMI JOIN grouping_feature USING (feature_key))
USING (feature_key)
ORDER BY feature_key, raster_index;
