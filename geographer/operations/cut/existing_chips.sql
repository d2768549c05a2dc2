-- existing_chips.sql: the chips of the recipe $name, and whether the raster that each was cut from is there, in $collection
-- and with the same bytes
CREATE OR REPLACE TEMP TABLE existing_chip AS
SELECT chip.raster_id AS chip_id, chip.parent_id AS raster_id, chip.col, chip."row", chip.width, chip.height,
       source.sha256 IS NOT NULL AS parent_is_there
FROM (FROM raster_now WHERE recipe = $name) AS chip
JOIN state.raster AS parent
ON parent.raster_id = chip.parent_id AND parent.valid_from <= chip.valid_from AND parent.valid_to > chip.valid_from
LEFT JOIN (FROM raster_now WHERE collection = $collection) AS source
ON source.raster_id = chip.parent_id AND source.sha256 = parent.sha256 AND source.crs = parent.crs;
