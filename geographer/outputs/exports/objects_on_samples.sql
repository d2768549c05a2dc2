-- objects_on_samples.sql: the features on each sample of a page, as WKB in the raster's CRS, in the order of addition
-- needs: macros.sql, sample_object, marked_feature, current_raster, current_feature, classes, $numbers
-- · makes: one result: number, feature_id, class, value, wkb, is_marked
SELECT number, feature_id, class, value, ST_AsWKB(g)::BLOB AS wkb, is_marked
FROM (
    SELECT number, place, feature_id, class, value, feature_id IN (SELECT feature_id FROM marked_feature) AS is_marked,
           feature_to_raster(geometry, native, feature.crs, raster.crs, splits_at_antimeridian, crosses_180, raster.xmin,
                             raster.xmax, footprint, crs_is_partial, reaches_limb) AS g
    FROM (SELECT number, raster_key, feature_key, place FROM sample_object WHERE number IN (SELECT unnest($numbers::BIGINT[])))
    JOIN (SELECT raster_key, crs, crosses_180, splits_at_antimeridian, xmin, xmax, footprint, crs_is_partial, reaches_limb
          FROM current_raster) AS raster USING (raster_key)
    JOIN (SELECT feature_key, feature_id, class, geometry, native, crs FROM current_feature) AS feature USING (feature_key)
    JOIN (SELECT class, value FROM classes) USING (class)
)
WHERE g IS NOT NULL
ORDER BY number, place;
