-- recipe_inputs.sql: what the recipes of a revision read: boxes, and the objects that selectors chose last
-- needs: state.recipe, chain_recipe_input, selected_input, macro is_current, variable position ·
-- makes: one result: recipe, subject, object_id, geometry (Base64), crs, order_index (of boxes)
WITH recipe AS (
    SELECT name AS recipe, position AS first_position FROM state.recipe WHERE is_current(valid_from, valid_to)
)
SELECT recipe, subject, object_id, base64(geometry) AS geometry, crs, ordinal AS order_index
FROM chain_recipe_input JOIN recipe USING (recipe)
WHERE subject = 'box' AND position <= getvariable('position') AND position >= first_position
QUALIFY position = max(position) OVER (PARTITION BY recipe)
UNION ALL
SELECT DISTINCT recipe, subject, object_id, NULL, NULL, NULL FROM selected_input SEMI JOIN recipe USING (recipe);
