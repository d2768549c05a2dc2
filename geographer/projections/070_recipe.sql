-- 070_recipe.sql: each recipe where it was first recorded, with its kind and parameters
INSERT INTO state.recipe BY NAME
WITH recorded AS (
    SELECT payload->>'$.recipe.name' AS name, payload->>'$.recipe.kind' AS kind,
           (payload->'$.recipe.parameters')::VARCHAR AS parameters, position
    FROM log.event
    WHERE position > $after AND position <= $up_to AND json_exists(payload, '$.recipe')
)
SELECT * FROM recorded ANTI JOIN state.recipe USING (name)
QUALIFY row_number() OVER (PARTITION BY name ORDER BY position) = 1
ORDER BY position;
