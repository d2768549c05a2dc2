-- other_inputs.sql: the boxes of the recipes of a dataset, and what their selectors chose last
SELECT recipe, subject, object_id, geometry, crs, ordinal AS place
FROM log.recipe_input WHERE subject = 'box' AND position <= getvariable('position')
UNION ALL
SELECT DISTINCT recipe, subject, object_id, NULL::BLOB, NULL::VARCHAR, 0 FROM chosen_input
ORDER BY recipe, subject, place, object_id;
