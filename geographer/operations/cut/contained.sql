-- contained.sql: for each selected feature and each chosen raster of $collection that contains it, its bounds in that
-- raster's CRS, and in its pixels where the raster is turned
WITH pair AS (
    SELECT feature_key, raster_id, transform,
           feature_in(geometry, native, feature.crs, raster.crs, torn) AS g,
           if(wraps, (raster.xmin + raster.xmax) / 2, NULL) AS middle
    FROM edge_now JOIN selected_feature USING (feature_key)
    JOIN (SELECT feature_key, geometry, native, crs FROM feature_now) AS feature USING (feature_key)
    JOIN (FROM raster_now SEMI JOIN chosen_raster USING (raster_id)
          WHERE collection = $collection AND storage <> 'catalogue') AS raster
    USING (raster_key)
    WHERE contains
), placed AS (
    SELECT feature_key, raster_id, transform, if(middle IS NULL, g, turned_to(g, middle)) AS g FROM pair
), turned AS (
    SELECT *, transform[1] * transform[5] - transform[2] * transform[4] AS determinant,
           transform[2] <> 0 OR transform[4] <> 0 AS is_turned
    FROM placed
), in_pixels AS (
    SELECT *, CASE WHEN is_turned THEN ST_Affine(
        ST_Translate(g, -transform[3], -transform[6]), transform[5] / determinant, -transform[2] / determinant,
        -transform[4] / determinant, transform[1] / determinant, 0.0, 0.0) END AS p
    FROM turned
)
SELECT feature_key, raster_id, ST_XMin(g) AS xmin, ST_YMin(g) AS ymin, ST_XMax(g) AS xmax, ST_YMax(g) AS ymax,
       ST_XMin(p) AS pmin_col, ST_YMin(p) AS pmin_row, ST_XMax(p) AS pmax_col, ST_YMax(p) AS pmax_row
FROM in_pixels
ORDER BY feature_key, raster_id;
