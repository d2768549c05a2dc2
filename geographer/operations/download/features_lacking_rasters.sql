-- features_lacking_rasters.sql: features that fewer than $target_count selected rasters of $collection contain, and how many they lack
-- needs: feature_to_cover, current_feature, current_edge, current_raster, filtered_raster, $collection, $target_count · makes: one result: feature_key, feature_id, geometry (WKB), native (WKB), crs, lacking
SELECT feature_key, feature_id, ST_AsWKB(geometry)::BLOB AS geometry, ST_AsWKB(native)::BLOB AS native, crs,
       $target_count - coalesce(count, 0) AS lacking
FROM feature_to_cover JOIN current_feature USING (feature_key)
LEFT JOIN (
    SELECT feature_key, count(*) AS count
    FROM current_edge SEMI JOIN (
        FROM current_raster SEMI JOIN filtered_raster USING (raster_id) WHERE collection = $collection AND storage <> 'catalogue'
    ) AS raster USING (raster_key)
    WHERE contains GROUP BY feature_key
) AS containing USING (feature_key)
WHERE lacking > 0
ORDER BY rank
