-- features_lacking_rasters.sql: the selected features that fewer than $target_count chosen rasters of $collection contain, and how many they lack
SELECT feature_key, feature_id, ST_AsWKB(geometry)::BLOB AS geometry, ST_AsWKB(native)::BLOB AS native, crs,
       $target_count - coalesce(count, 0) AS lacking
FROM (SELECT feature_key, turn FROM selected_feature) AS selected JOIN feature_now USING (feature_key)
LEFT JOIN (
    SELECT feature_key, count(*) AS count
    FROM edge_now SEMI JOIN (
        FROM raster_now SEMI JOIN chosen_raster USING (raster_id) WHERE collection = $collection AND storage <> 'catalogue'
    ) AS raster USING (raster_key)
    WHERE contains GROUP BY feature_key
) AS shown USING (feature_key)
WHERE lacking > 0
ORDER BY turn
