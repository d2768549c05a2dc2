-- 040_recipe.sql: the versions of each recipe: its kind and parameters, from its first record until it is removed
-- needs: log.event, macros.sql, $after, $up_to · makes: versions in state.recipe, dropped temp table recipe_removal
CREATE OR REPLACE TEMP TABLE recipe_removal AS
SELECT payload->>'$.request.name' AS name, position FROM log.event
WHERE kind = 'recipe_removed' AND position > $after AND position <= $up_to;

UPDATE state.recipe SET valid_to = removed.position
FROM (SELECT name, min(position) AS position FROM recipe_removal GROUP BY name) AS removed
WHERE state.recipe.name = removed.name AND valid_to = open_end();

INSERT INTO state.recipe BY NAME
WITH entry AS (
    SELECT position, 0 AS ordinal, payload->'$.recipe' AS recipe FROM log.event WHERE json_exists(payload, '$.recipe')
    UNION ALL
    -- An import records several recipes.
    SELECT position, imported.rowid, imported.value FROM log.event, json_each(payload, '$.recipes') AS imported
), recorded AS (
    SELECT recipe->>'$.name' AS name, recipe->>'$.kind' AS kind, (recipe->'$.parameters')::VARCHAR AS parameters,
           position, ordinal
    FROM entry WHERE position > $after AND position <= $up_to
), with_end AS (
    SELECT *, coalesce((SELECT min(removed.position) FROM recipe_removal AS removed
                        WHERE removed.name = recorded.name AND removed.position > recorded.position), open_end()) AS valid_to
    FROM recorded
)
SELECT * EXCLUDE (ordinal) FROM with_end
ANTI JOIN state.recipe AS existing ON existing.name = with_end.name AND existing.valid_to > with_end.position
QUALIFY row_number() OVER (PARTITION BY name, valid_to ORDER BY position, ordinal) = 1
ORDER BY position, ordinal;

DROP TABLE recipe_removal;
