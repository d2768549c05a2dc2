-- objects_on_samples.sql: the features on each sample of a page, as WKB in the raster's CRS, in the order of addition
-- needs: macros.sql, export_sample, marked_feature, current_raster, current_edge, current_feature, classes, feature_order, $numbers
-- · makes: one result: number, feature_id, class, value, wkb, is_marked
SELECT number, feature_id, class, value, ST_AsWKB(g)::BLOB AS wkb, is_marked
FROM (
    SELECT number, feature_id, class, value, added, added_by, feature_id IN (SELECT feature_id FROM marked_feature) AS is_marked,
           feature_to_raster(geometry, native, feature.crs, raster.crs, splits_at_antimeridian, crosses_180, raster.xmin,
                             raster.xmax, footprint, crs_is_partial, reaches_limb) AS g
    FROM (SELECT number, raster_key, crs, crosses_180, splits_at_antimeridian, xmin, xmax, footprint, crs_is_partial, reaches_limb
          FROM (SELECT number, raster_key FROM export_sample WHERE number IN (SELECT unnest($numbers::BIGINT[])))
          JOIN current_raster USING (raster_key)) AS raster
    JOIN current_edge USING (raster_key)
    JOIN (SELECT feature_key, feature_id, class, geometry, native, crs FROM current_feature) AS feature USING (feature_key)
    JOIN (SELECT class, value FROM classes WHERE value > 0) USING (class)
    JOIN feature_order USING (feature_id)
)
WHERE g IS NOT NULL
ORDER BY number, added, added_by, feature_id;
