-- unchanged_chips.sql: the chips of the recipe $name whose parent raster is in $collection with the bytes and CRS it was cut from
-- needs: current_raster, state.raster, $name, $collection · makes: one result:
-- name (without the recipe), raster_id, feature_id, col, row, width, height
SELECT substr(chip.raster_id, len($name) + 2) AS name, chip.parent_id AS raster_id, chip.feature_id, chip.col, chip."row", chip.width, chip.height
FROM (FROM current_raster WHERE recipe = $name) AS chip
JOIN state.raster AS parent
ON parent.raster_id = chip.parent_id AND parent.valid_from <= chip.valid_from AND parent.valid_to > chip.valid_from
JOIN (FROM current_raster WHERE collection = $collection) AS current_parent
ON current_parent.raster_id = chip.parent_id AND current_parent.sha256 = parent.sha256 AND current_parent.crs = parent.crs
ORDER BY name;
