-- 070_recipe.sql: each recipe where it was first recorded, with its kind and parameters, until it was removed
CREATE OR REPLACE TEMP TABLE removed_recipe AS
SELECT payload->>'$.request.name' AS name, position FROM log.event
WHERE kind = 'recipe_removed' AND position > $after AND position <= $up_to;

UPDATE state.recipe SET valid_to = removed.position
FROM (SELECT name, min(position) AS position FROM removed_recipe GROUP BY name) AS removed
WHERE state.recipe.name = removed.name AND valid_to = open_end();

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
), ended AS (
    SELECT *, coalesce((SELECT min(removed.position) FROM removed_recipe AS removed
                        WHERE removed.name = recorded.name AND removed.position > recorded.position), open_end()) AS valid_to
    FROM recorded
)
SELECT * EXCLUDE (place) FROM ended
ANTI JOIN state.recipe AS known ON known.name = ended.name AND known.valid_to > ended.position
QUALIFY row_number() OVER (PARTITION BY name, valid_to ORDER BY position, place) = 1
ORDER BY position, place;

DROP TABLE removed_recipe;
