-- objects_to_draw.sql: features to draw on each raster of outdated_label, as WKB in the raster's CRS, in the order of addition; those
-- of context classes are not drawn. The WKB of a feature with at least $large vertices, which is equal for all rasters of a CRS, is
-- null: see large_objects.sql
-- needs: macros.sql, current_drawn_feature, outdated_label, feature_drawing, current_raster, current_feature, classes, feature_order,
-- context_class, $with_properties, $large · makes: one result: raster_id, feature_id, class, value, wkb, ignored, probabilities, properties,
-- feature_key, crs, splits_at_antimeridian
SELECT raster_id, feature_id, class, value, ST_AsWKB(g)::BLOB AS wkb, coalesce(ignored, false) AS ignored, probabilities,
       CASE WHEN $with_properties THEN properties END AS properties, feature_key, crs, splits_at_antimeridian
FROM (
    SELECT raster_id, feature_id, class, value, added, added_by, ignored, probabilities, properties, feature_key, raster.crs,
           splits_at_antimeridian,
           ST_NPoints(geometry) >= $large AND NOT coalesce(crosses_180, true)
               AND NOT coalesce(is_partly_visible(geometry, raster.crs, crs_is_partial, reaches_limb), true) AS is_shared,
           CASE WHEN NOT is_shared THEN
               feature_to_raster(geometry, native, feature.crs, raster.crs, splits_at_antimeridian, crosses_180, raster.xmin,
                                 raster.xmax, footprint, crs_is_partial, reaches_limb) END AS g
    FROM (SELECT raster_key, raster_id, crs, crosses_180, splits_at_antimeridian, xmin, xmax, footprint, crs_is_partial, reaches_limb
          FROM current_raster SEMI JOIN outdated_label USING (raster_id)) AS raster
    JOIN current_drawn_feature USING (raster_key)
    JOIN (SELECT feature_key, feature_id, class, geometry, native, crs, properties FROM current_feature) AS feature USING (feature_key)
    JOIN (FROM classes ANTI JOIN (SELECT class FROM context_class WHERE is_context) USING (class)) USING (class)
    JOIN feature_order USING (feature_id)
    LEFT JOIN feature_drawing USING (feature_id)
)
WHERE g IS NOT NULL OR is_shared
ORDER BY raster_id, added, added_by, feature_id;
