-- existing_chips.sql: the chips of the recipe $name, and what has become of the raster that each was cut from: it is
-- 'there' in $collection as it was then, was 'replaced' by another of its id, or is 'gone'
CREATE OR REPLACE TEMP TABLE existing_chip AS
SELECT chip.raster_key, chip.raster_id AS chip_id, chip.parent_id AS raster_id,
       chip.col, chip."row", chip.width, chip.height,
       CASE WHEN source.raster_id IS NULL THEN 'gone' WHEN source.row_digest = parent.row_digest THEN 'there'
            ELSE 'replaced' END AS parent_is
FROM (FROM raster_now WHERE recipe = $name) AS chip
JOIN state.raster AS parent
ON parent.raster_id = chip.parent_id AND parent.valid_from <= chip.valid_from AND parent.valid_to > chip.valid_from
LEFT JOIN (FROM raster_now WHERE collection = $collection) AS source ON source.raster_id = chip.parent_id
ORDER BY chip.raster_key;
