-- incoming_splits.sql: the parts of imported rasters in the source dataset's splits by the recipes $new_recipes
-- needs: source_split, incoming_raster, macros rename_name and rename_raster, $new_recipes · makes: one result: change, split, raster_id, part
SELECT 'added' AS change, rename_name(split) AS split, rename_raster(raster_id) AS raster_id, part
FROM source_split
WHERE list_contains($new_recipes::VARCHAR[], rename_name(split))
  AND rename_raster(raster_id) IN (SELECT raster_id FROM incoming_raster WHERE is_imported)
ORDER BY split, raster_id;
