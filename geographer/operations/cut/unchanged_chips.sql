-- unchanged_chips.sql: the chips of the recipe $name, those that users removed since it has its parameters (is_removed), and those
--   that were withdrawn (is_withdrawn), whose parent raster is in $collection with the bytes and CRS it was cut from
-- needs: current_raster, state.raster, recipe_name, recipe_since, raster_with_new_name, remembered_removal, $name, $collection,
--   $withdrawn (MD5s) ·
-- makes: one result: is_removed, is_withdrawn, name (without the recipe), raster_id, feature_id, col, row, width, height
WITH own_name AS (
    SELECT name AS recipe, until FROM recipe_name WHERE recipe = $name UNION SELECT $name, 9223372036854775807
), recipe AS (
    SELECT recorded_at FROM recipe_since WHERE recipe = $name
), made_raster AS (
    SELECT raster.*, coalesce(content_from, raster.valid_from) AS cut_at
    FROM state.raster AS raster JOIN own_name ON own_name.recipe = raster.recipe AND raster.valid_from < until
    LEFT JOIN raster_with_new_name USING (raster_key)
), chip AS (
    SELECT raster_id, parent_id, feature_id, col, "row", width, height, cut_at, valid_from, false AS is_removed, false AS is_withdrawn,
           false AS is_listed
    FROM made_raster SEMI JOIN (SELECT raster_key FROM current_raster WHERE recipe = $name) USING (raster_key)
    UNION ALL
    SELECT raster_id, parent_id, feature_id, col, "row", width, height, cut_at, valid_from, true, false, is_listed
    FROM made_raster JOIN remembered_removal USING (raster_id)
    -- A patch does not say which version of a chip was removed.
    WHERE (valid_to = removed_at OR (is_listed AND valid_from < removed_at)) AND NOT list_contains($withdrawn::VARCHAR[], md5)
      AND removed_at >= (SELECT recorded_at FROM recipe)
    UNION ALL
    SELECT raster_id, parent_id, feature_id, col, "row", width, height, cut_at, valid_from, true, true, false
    FROM made_raster WHERE list_contains($withdrawn::VARCHAR[], md5)
)
SELECT is_removed, is_withdrawn, split_part(chip.raster_id, '/', -1) AS name, chip.parent_id AS raster_id, chip.feature_id, chip.col, chip."row",
       chip.width, chip.height
FROM chip
JOIN state.raster AS parent
ON parent.raster_id = chip.parent_id AND parent.valid_from <= chip.cut_at AND parent.valid_to > chip.cut_at
JOIN (FROM current_raster WHERE collection = $collection) AS current_parent
ON current_parent.raster_id = chip.parent_id AND current_parent.sha256 = parent.sha256 AND current_parent.crs = parent.crs
QUALIFY NOT is_listed OR row_number() OVER (PARTITION BY is_listed, name ORDER BY chip.valid_from DESC) = 1
UNION ALL
-- Chips that users removed in another dataset, before it was imported.
SELECT true, false, split_part(raster_id, '/', -1), '', NULL, 0, 0, 0, 0
FROM (SELECT raster_id, removed_at FROM remembered_removal ANTI JOIN state.raster USING (raster_id)) AS removal
WHERE removed_at >= (SELECT recorded_at FROM recipe)
  AND EXISTS (FROM own_name WHERE starts_with(removal.raster_id, own_name.recipe || '/') AND removal.removed_at < until)
ORDER BY name;
