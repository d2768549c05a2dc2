-- effective_removals.sql: the removed rasters that recipes leave out at a revision: of chips, those whose parent raster has the bytes and
--   CRS that they were cut from
-- needs: remembered_removal, state.raster, current_raster, variable position · makes: one result: raster_id
WITH version AS (
    SELECT raster_id, parent_id, valid_from FROM state.raster JOIN remembered_removal USING (raster_id)
    WHERE valid_to = removed_at OR (is_listed AND valid_from < removed_at)
), matching AS (
    SELECT version.raster_id FROM version JOIN state.raster AS parent
    ON parent.raster_id = version.parent_id AND parent.valid_from <= version.valid_from AND parent.valid_to > version.valid_from
    JOIN (SELECT raster_id, sha256, crs FROM current_raster) AS current_parent
    ON current_parent.raster_id = version.parent_id AND current_parent.sha256 = parent.sha256 AND current_parent.crs = parent.crs
)
SELECT raster_id FROM remembered_removal
WHERE raster_id IN (SELECT raster_id FROM matching) OR raster_id NOT IN (SELECT raster_id FROM version WHERE parent_id IS NOT NULL);
