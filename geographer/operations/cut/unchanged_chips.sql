-- unchanged_chips.sql: the chips of the recipe $name, those that users removed since it has its parameters (is_removed), and those
--   that were withdrawn (is_withdrawn), whose parent raster is in $collection with the bytes and CRS it was cut from
-- needs: current_raster, state.raster, state.recipe, remembered_removal, macro is_current, $name, $collection, $withdrawn (MD5s) ·
-- makes: one result: is_removed, is_withdrawn, name (without the recipe), raster_id, feature_id, col, row, width, height
WITH recipe AS (
    SELECT valid_from AS recorded_at FROM state.recipe WHERE name = $name AND is_current(valid_from, valid_to)
), chip AS (
    SELECT raster_id, parent_id, feature_id, col, "row", width, height, valid_from, false AS is_removed, false AS is_withdrawn,
           false AS is_listed
    FROM current_raster WHERE recipe = $name
    UNION ALL
    SELECT raster_id, parent_id, feature_id, col, "row", width, height, valid_from, true, false, is_listed
    FROM state.raster JOIN remembered_removal USING (raster_id)
    -- A patch does not say which version of a chip was removed.
    WHERE recipe = $name AND (valid_to = removed_at OR (is_listed AND valid_from < removed_at)) AND NOT list_contains($withdrawn::VARCHAR[], md5)
      AND removed_at >= (SELECT recorded_at FROM recipe)
    UNION ALL
    SELECT raster_id, parent_id, feature_id, col, "row", width, height, valid_from, true, true, false
    FROM state.raster WHERE recipe = $name AND list_contains($withdrawn::VARCHAR[], md5)
)
SELECT is_removed, is_withdrawn, substr(chip.raster_id, len($name) + 2) AS name, chip.parent_id AS raster_id, chip.feature_id, chip.col, chip."row",
       chip.width, chip.height
FROM chip
JOIN state.raster AS parent
ON parent.raster_id = chip.parent_id AND parent.valid_from <= chip.valid_from AND parent.valid_to > chip.valid_from
JOIN (FROM current_raster WHERE collection = $collection) AS current_parent
ON current_parent.raster_id = chip.parent_id AND current_parent.sha256 = parent.sha256 AND current_parent.crs = parent.crs
QUALIFY NOT is_listed OR row_number() OVER (PARTITION BY is_listed, name ORDER BY chip.valid_from DESC) = 1
UNION ALL
-- Chips that users removed in another dataset, before it was imported.
SELECT true, false, substr(raster_id, len($name) + 2), '', NULL, 0, 0, 0, 0
FROM remembered_removal ANTI JOIN state.raster USING (raster_id)
WHERE starts_with(raster_id, $name || '/') AND removed_at >= (SELECT recorded_at FROM recipe)
ORDER BY name;
