-- overlapping_chips.sql: chips of one parent that share pixels and are in several subsets of a split at $new, and were not at $old
-- needs: changed_raster, changed_split, state.raster, state.split, $old, $new ·
-- makes: one result: split, chip, other_chip, part, other_part, position
WITH touched AS (
    SELECT raster_id FROM changed_split UNION SELECT raster_id FROM changed_raster
), chip AS (
    SELECT moment, split, part, raster_id, parent_id, col, "row", width, height, greatest(split.valid_from, raster.valid_from) AS since,
           max(greatest(width, height)) OVER (PARTITION BY parent_id) AS tile
    FROM (SELECT unnest([$old, $new]) AS moment) AS side
    JOIN state.split AS split ON split.valid_from <= moment AND split.valid_to > moment AND part IS NOT NULL
    JOIN (SELECT raster_id, parent_id, col, "row", width, height, valid_from, valid_to FROM state.raster
          WHERE parent_id IS NOT NULL) AS raster USING (raster_id)
    WHERE raster.valid_from <= moment AND raster.valid_to > moment
), tiled AS (
    -- The tiles, as large as the largest chip, that a chip lies on: chips that overlap have one in common.
    SELECT *, unnest(range(col // tile, (col + width - 1) // tile + 1)) AS tile_column, tile_row
    FROM (SELECT *, unnest(range("row" // tile, ("row" + height - 1) // tile + 1)) AS tile_row FROM chip)
), overlap AS (
    SELECT DISTINCT a.moment, a.split, a.raster_id AS chip, b.raster_id AS other_chip, a.part, b.part AS other_part,
           greatest(a.since, b.since) AS position
    FROM (FROM tiled SEMI JOIN touched USING (raster_id)) AS a JOIN tiled AS b
    USING (moment, split, parent_id, tile_column, tile_row)
    WHERE a.part <> b.part AND (a.raster_id < b.raster_id OR b.raster_id NOT IN (FROM touched))
      AND a.col < b.col + b.width AND b.col < a.col + a.width AND a."row" < b."row" + b.height AND b."row" < a."row" + a.height
)
SELECT split, chip, other_chip, part, other_part, position FROM overlap
WHERE moment = $new AND (split, chip, other_chip) NOT IN (SELECT (split, chip, other_chip) FROM overlap WHERE moment = $old)
ORDER BY split, chip, other_chip;
