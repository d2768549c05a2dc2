-- shared_objects.sql: which rasters of $collection show which of the selected features, and of which class those are
WITH member AS (
    SELECT row_number() OVER (ORDER BY raster_id) - 1 AS number, raster_key FROM raster_now WHERE collection = $collection
)
SELECT feature_id, class, number AS raster
FROM edge_now JOIN member USING (raster_key)
JOIN (SELECT feature_key, feature_id, class FROM feature_now SEMI JOIN selected_feature USING (feature_key))
USING (feature_key)
ORDER BY feature_key, number;
