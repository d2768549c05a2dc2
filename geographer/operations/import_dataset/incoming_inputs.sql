-- incoming_inputs.sql: recipe inputs to import: all of the recipes $new_recipes; of others, but $removed_recipes, the selected objects
--   that are imported
-- needs: renamed_input, incoming_feature, incoming_raster, $new_recipes, $removed_recipes ·
-- makes: one result: change, recipe, subject, object_id, geometry, crs
SELECT 'added' AS change, recipe, subject, object_id, geometry, crs
FROM renamed_input
WHERE list_contains($new_recipes::VARCHAR[], recipe)
   OR (NOT list_contains($removed_recipes::VARCHAR[], recipe) AND (
       (subject = 'feature' AND object_id IN (SELECT feature_id FROM incoming_feature WHERE is_imported))
       OR (subject = 'raster' AND object_id IN (SELECT raster_id FROM incoming_raster WHERE is_imported))))
ORDER BY recipe, subject, order_index, object_id;
