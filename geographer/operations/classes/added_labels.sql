-- added_labels.sql: the labels $labels, which users added as files for the collections $collections, with the grids of their rasters;
--   without those that a recipe cuts with its chips
-- needs: current_label, current_raster, recipes, $labels, $collections · makes: one result: label, raster_id, path, size, md5, sha256, crs,
-- transform, width, height
WITH added AS (
    SELECT unnest($labels::VARCHAR[]) AS label, unnest($collections::VARCHAR[]) AS added_to
), cut AS (
    SELECT name AS recipe FROM recipes WHERE kind LIKE 'cut %'
)
SELECT label, raster_id, current_label.path, current_label.size, current_label.md5, current_label.sha256, crs, transform, width, height
FROM current_label JOIN added USING (label)
JOIN (SELECT raster_id, collection, recipe, crs, transform, width, height FROM current_raster) AS raster USING (raster_id)
WHERE collection = added_to OR recipe IS NULL OR recipe NOT IN (FROM cut)
ORDER BY label, raster_id;
