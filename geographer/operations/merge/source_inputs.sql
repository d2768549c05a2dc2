-- source_inputs.sql: boxes of the recipes of a source dataset, and what their selectors selected last
-- needs: log.recipe_input, selected_input, variable position ·
-- makes: one result: recipe, subject, object_id, geometry, crs, order_index
SELECT recipe, subject, object_id, geometry, crs, ordinal AS order_index
FROM log.recipe_input WHERE subject = 'box' AND position <= getvariable('position')
UNION ALL
SELECT DISTINCT recipe, subject, object_id, NULL::BLOB, NULL::VARCHAR, 0 FROM selected_input
ORDER BY recipe, subject, order_index, object_id;
