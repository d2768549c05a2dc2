-- shown_features.sql: the features that the selected rasters show, as WKB in the CRS of each raster
-- needs: current_edge, current_feature, current_raster, selected_raster, macro feature_to_raster
-- · makes: one result: raster_id, crs, width, height, transform, feature_id, class, row_digest, geometry
SELECT raster_id, crs, width, height, transform, feature_id, class, row_digest, ST_AsWKB(g)::BLOB AS geometry
FROM (
    SELECT raster.raster_id, raster.crs, raster.width, raster.height, raster.transform, feature.feature_id, feature.class,
           feature.row_digest, feature_key,
           feature_to_raster(feature.geometry, native, feature.crs, raster.crs, splits_at_antimeridian, crosses_180, raster.xmin,
                             raster.xmax, footprint, crs_is_partial, reaches_limb) AS g
    FROM current_edge
    JOIN (SELECT feature_key, feature_id, class, geometry, native, crs, row_digest FROM current_feature) AS feature USING (feature_key)
    JOIN (FROM current_raster SEMI JOIN selected_raster USING (raster_id)) AS raster USING (raster_key)
)
WHERE g IS NOT NULL
ORDER BY raster_id, feature_key;
