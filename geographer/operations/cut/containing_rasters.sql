-- containing_rasters.sql: each selected feature and each raster to cut that contains it, with the feature's bounds in the raster's
-- CRS and, if the raster is rotated, in its pixels
-- needs: current_edge, current_feature, current_raster, feature_to_cut, raster_to_cut, macros feature_to_crs, shift_to_lon, to_pixels · makes: one result:
-- feature_key, raster_id, xmin, ymin, xmax, ymax, pmin_col, pmin_row, pmax_col, pmax_row
WITH pair AS (
    SELECT feature_key, raster_id, transform,
           feature_to_crs(geometry, native, feature.crs, raster.crs, splits_at_antimeridian) AS g,
           if(crosses_180, (raster.xmin + raster.xmax) / 2, NULL) AS middle_lon
    FROM current_edge JOIN feature_to_cut USING (feature_key)
    JOIN (SELECT feature_key, geometry, native, crs FROM current_feature) AS feature USING (feature_key)
    JOIN (FROM current_raster SEMI JOIN raster_to_cut USING (raster_id)) AS raster USING (raster_key)
    WHERE contains
), feature_in_crs AS (
    SELECT feature_key, raster_id, transform, if(middle_lon IS NULL, g, shift_to_lon(g, middle_lon)) AS g FROM pair
), feature_in_pixels AS (
    SELECT *, CASE WHEN transform[2] <> 0 OR transform[4] <> 0 THEN to_pixels(g, transform) END AS p FROM feature_in_crs
)
SELECT feature_key, raster_id, ST_XMin(g) AS xmin, ST_YMin(g) AS ymin, ST_XMax(g) AS xmax, ST_YMax(g) AS ymax,
       ST_XMin(p) AS pmin_col, ST_YMin(p) AS pmin_row, ST_XMax(p) AS pmax_col, ST_YMax(p) AS pmax_row
FROM feature_in_pixels
ORDER BY feature_key, raster_id;
