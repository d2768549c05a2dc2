-- 070_recipe.sql: each recipe where it was first recorded, with its kind and parameters
INSERT INTO state.recipe BY NAME
WITH entry AS (
    SELECT position, 0 AS place, payload->'$.recipe' AS recipe FROM log.event WHERE json_exists(payload, '$.recipe')
    UNION ALL
    -- An import brings several.
    SELECT position, brought.rowid, brought.value FROM log.event, json_each(payload, '$.recipes') AS brought
), recorded AS (
    SELECT recipe->>'$.name' AS name, recipe->>'$.kind' AS kind, (recipe->'$.parameters')::VARCHAR AS parameters,
           position, place
    FROM entry WHERE position > $after AND position <= $up_to
)
SELECT * EXCLUDE (place) FROM recorded ANTI JOIN state.recipe USING (name)
QUALIFY row_number() OVER (PARTITION BY name ORDER BY position, place) = 1
ORDER BY position, place;
