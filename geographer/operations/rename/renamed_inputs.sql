-- renamed_inputs.sql: boxes of the recipes $old_names and what their selectors chose last, as rows of the recipes $names
-- needs: chain_recipe_input, selected_input, variable position, $names, $old_names · makes: temp table input_with_new_name
CREATE OR REPLACE TEMP TABLE input_with_new_name AS
WITH renamed AS (
    SELECT unnest($names::VARCHAR[]) AS name, unnest($old_names::VARCHAR[]) AS recipe
), input AS (
    SELECT recipe, subject, object_id, geometry, crs, ordinal AS order_index
    FROM chain_recipe_input SEMI JOIN renamed USING (recipe) WHERE subject = 'box' AND position <= getvariable('position')
    QUALIFY position = max(position) OVER (PARTITION BY recipe)
    UNION ALL
    SELECT DISTINCT recipe, subject, object_id, NULL::BLOB, NULL::VARCHAR, 0 FROM selected_input
)
SELECT 'added' AS change, name AS recipe, subject, object_id, geometry, crs, order_index FROM input JOIN renamed USING (recipe);
