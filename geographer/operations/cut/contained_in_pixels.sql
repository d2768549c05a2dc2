-- contained_in_pixels.sql: for each selected feature and each chosen raster of $collection that contains it, its bounds in
-- the raster's pixels
WITH placed AS (
    SELECT selected_feature.turn AS place, selected_feature.feature_id, raster_id,
           in_pixels(in_frame(feature_in(geometry, native, feature.crs, raster.crs, torn), wraps, raster.xmin, raster.xmax),
                     transform) AS p
    FROM edge_now JOIN selected_feature USING (feature_key)
    JOIN (SELECT feature_key, geometry, native, crs FROM feature_now) AS feature USING (feature_key)
    JOIN (FROM raster_now SEMI JOIN chosen_raster USING (raster_id)
          WHERE collection = $collection AND storage <> 'catalogue') AS raster USING (raster_key)
    WHERE contains
)
SELECT feature_id, raster_id, ST_XMin(p) AS pmin_col, ST_YMin(p) AS pmin_row, ST_XMax(p) AS pmax_col, ST_YMax(p) AS pmax_row
FROM placed
ORDER BY place, raster_id;
