-- boxes_in_pixels.sql: each box and each raster to cut that may intersect it, with the box's bounds in the raster's pixels
-- needs: current_raster, raster_to_cut, box_to_cut, macros reproject, shift_to_raster, to_pixels · makes: one result:
-- box_id, raster_id, pmin_col, pmin_row, pmax_col, pmax_row
WITH box AS (
    SELECT object_id AS box_id, ST_GeomFromWKB(geometry) AS native, crs, reproject(native, crs, 'EPSG:4326') AS lonlat
    FROM box_to_cut
), raster AS (
    FROM current_raster SEMI JOIN raster_to_cut USING (raster_id)
), box_in_pixels AS (
    SELECT box_id, raster_id,
           to_pixels(shift_to_raster(reproject(native, box.crs, raster.crs), crosses_180, raster.xmin, raster.xmax), transform) AS p
    FROM box JOIN raster ON ST_Intersects_Extent(lonlat, footprint)
)
SELECT box_id, raster_id, ST_XMin(p) AS pmin_col, ST_YMin(p) AS pmin_row, ST_XMax(p) AS pmax_col, ST_YMax(p) AS pmax_row
FROM box_in_pixels
ORDER BY box_id, raster_id;
