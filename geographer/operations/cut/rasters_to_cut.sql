-- rasters_to_cut.sql: the rasters of $collection to cut from, in their order, with the size of a chip in their pixels: where that is
-- asked for in metres, by the metres of the raster's CRS where these are metres on the ground within 1 %, else by the ground
WITH scene AS (
    SELECT raster_id, row_number() OVER (ORDER BY place, added, raster_id) AS turn, width, height, transform, path, crs,
           bands, nodata, sha256, width / 2 AS middle_col, height / 2 AS middle_row
    FROM raster_now JOIN ranked_raster USING (raster_id) JOIN raster_order USING (raster_id)
    WHERE collection = $collection AND storage <> 'catalogue'
), placed AS (
    SELECT *, transform[1] * middle_col + transform[2] * middle_row + transform[3] AS x,
           transform[4] * middle_col + transform[5] * middle_row + transform[6] AS y
    FROM scene
), on_ground AS (
    SELECT *, sqrt(transform[1] ** 2 + transform[4] ** 2) AS across, sqrt(transform[2] ** 2 + transform[5] ** 2) AS down,
           CASE WHEN $in_metres THEN metres_between(x, y, x + transform[1], y + transform[4], crs) END AS metres_across,
           CASE WHEN $in_metres THEN metres_between(x, y, x + transform[2], y + transform[5], crs) END AS metres_down
    FROM placed
), sized AS (
    SELECT *, CASE WHEN $in_metres THEN round($width / CASE WHEN abs(metres_across / across - 1) < 0.01 THEN across ELSE metres_across END)
                   ELSE $width END AS chip_columns,
           CASE WHEN $in_metres THEN round($height / CASE WHEN abs(metres_down / down - 1) < 0.01 THEN down ELSE metres_down END)
                ELSE $height END AS chip_rows
    FROM on_ground
)
SELECT raster_id, turn, width, height, transform[1] AS a, transform[2] AS b, transform[3] AS c, transform[4] AS d,
       transform[5] AS e, transform[6] AS f, path, crs, bands, nodata, sha256,
       greatest(chip_columns, 1)::BIGINT AS chip_width, greatest(chip_rows, 1)::BIGINT AS chip_height
FROM sized
ORDER BY turn;
