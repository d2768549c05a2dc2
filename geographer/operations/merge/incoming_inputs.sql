-- incoming_inputs.sql: which boxes and choices of another dataset come: all of the recipes $new; of a recipe that is here,
-- those among what selectors chose that come themselves
SELECT 'added' AS change, recipe, subject, object_id, geometry, crs
FROM moved_input
WHERE list_contains($new::VARCHAR[], recipe)
   OR (subject = 'feature' AND object_id IN (SELECT feature_id FROM coming_feature WHERE comes))
   OR (subject = 'raster' AND object_id IN (SELECT raster_id FROM coming_raster WHERE comes))
ORDER BY recipe, subject, place, object_id;
