-- remembered_rows.sql: chips that users removed in the source dataset and that the recipes here must leave out, too: of rasters that are
--   equal or imported, by recipes of $recipes; not those that this dataset has or has left out already
-- needs: renamed_removal, incoming_raster, current_raster, remembered_removal, $recipes · makes: one result: raster_id
SELECT raster_id
FROM renamed_removal
SEMI JOIN (SELECT raster_id AS parent_id FROM incoming_raster WHERE status = 'equal' OR is_imported) USING (parent_id)
ANTI JOIN (FROM current_raster) USING (raster_id)
ANTI JOIN remembered_removal USING (raster_id)
WHERE list_contains($recipes::VARCHAR[], recipe)
ORDER BY raster_id;
