-- rasters_to_cut.sql: the rasters to cut from, by rank, with the size of a chip in pixels of each. A size in metres is divided by
-- the pixel size in CRS units if a CRS unit is a metre on the ground within 1 %, else by the pixel size on the ground
-- needs: current_raster, raster_order, raster_to_cut, macro ground_distance_metres, $width, $height, $in_metres · makes: one result:
-- raster_id, rank, width, height, a, b, c, d, e, f, path, crs, bands, nodata, sha256, chip_width, chip_height
WITH raster AS (
    SELECT raster_id, row_number() OVER (ORDER BY sort_rank, added, added_by, raster_id) AS rank, width, height, transform, path, crs,
           bands, nodata, sha256, width / 2 AS middle_col, height / 2 AS middle_row
    FROM current_raster JOIN raster_to_cut USING (raster_id) JOIN raster_order USING (raster_id)
), raster_centre AS (
    SELECT *, transform[1] * middle_col + transform[2] * middle_row + transform[3] AS x,
           transform[4] * middle_col + transform[5] * middle_row + transform[6] AS y
    FROM raster
), pixel_size AS (
    SELECT *, sqrt(transform[1] ** 2 + transform[4] ** 2) AS crs_width, sqrt(transform[2] ** 2 + transform[5] ** 2) AS crs_height,
           CASE WHEN $in_metres THEN ground_distance_metres(x, y, x + transform[1], y + transform[4], crs) END AS ground_width,
           CASE WHEN $in_metres THEN ground_distance_metres(x, y, x + transform[2], y + transform[5], crs) END AS ground_height
    FROM raster_centre
), chip_size AS (
    SELECT *, CASE WHEN $in_metres
                   THEN round($width / CASE WHEN abs(ground_width / crs_width - 1) < 0.01 THEN crs_width ELSE ground_width END)
                   ELSE $width END AS chip_columns,
           CASE WHEN $in_metres
                THEN round($height / CASE WHEN abs(ground_height / crs_height - 1) < 0.01 THEN crs_height ELSE ground_height END)
                ELSE $height END AS chip_rows
    FROM pixel_size
)
SELECT raster_id, rank, width, height, transform[1] AS a, transform[2] AS b, transform[3] AS c, transform[4] AS d,
       transform[5] AS e, transform[6] AS f, path, crs, bands, nodata, sha256,
       greatest(chip_columns, 1)::BIGINT AS chip_width, greatest(chip_rows, 1)::BIGINT AS chip_height
FROM chip_size
ORDER BY rank;
