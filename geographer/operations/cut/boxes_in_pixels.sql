-- boxes_in_pixels.sql: for each box of the recipe $name and each chosen raster of $collection that may show some of it, its bounds in
-- the raster's pixels
WITH box AS (
    SELECT object_id AS box_id, ST_GeomFromWKB(geometry) AS native, crs, into_crs(native, crs, 'EPSG:4326') AS lonlat
    FROM given_box
), raster AS (
    FROM raster_now SEMI JOIN chosen_raster USING (raster_id) WHERE collection = $collection AND storage <> 'catalogue'
), placed AS (
    SELECT box_id, raster_id, in_pixels(in_frame(into_crs(native, box.crs, raster.crs), wraps, raster.xmin, raster.xmax),
                                        transform) AS p
    FROM box JOIN raster ON ST_Intersects_Extent(lonlat, footprint)
)
SELECT box_id, raster_id, ST_XMin(p) AS pmin_col, ST_YMin(p) AS pmin_row, ST_XMax(p) AS pmax_col, ST_YMax(p) AS pmax_row
FROM placed
ORDER BY box_id, raster_id;
