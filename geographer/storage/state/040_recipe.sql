-- 040_recipe.sql: the versions of each recipe: one ends where other parameters are recorded, or where the recipe is removed
-- needs: recipe_fact, recipe_removal_fact, macros.sql · makes: versions in state.recipe, dropped temp table recipe_version
CREATE OR REPLACE TEMP TABLE recipe_version AS
WITH record AS (
    -- A recipe's `position` and `ordinal` are those of its first record since it was last removed.
    SELECT name, kind, parameters, position, ordinal, valid_from, false AS is_new
    FROM state.recipe WHERE valid_to = open_end()
    UNION ALL SELECT name, kind, parameters, position, ordinal, position, true FROM recipe_fact
), with_removal AS (
    SELECT *, coalesce((SELECT min(removal.position) FROM recipe_removal_fact AS removal
                        WHERE removal.name = record.name AND removal.position > record.valid_from), open_end()) AS removed_at
    FROM record
), with_previous AS (
    SELECT *, lag(kind || chr(10) || parameters) OVER life AS previous
    FROM with_removal WINDOW life AS (PARTITION BY name, removed_at ORDER BY valid_from, ordinal)
)
SELECT name, kind, parameters, first_value(position) OVER life AS position, first_value(ordinal) OVER life AS ordinal,
       valid_from, lead(valid_from, 1, removed_at) OVER life AS valid_to, is_new
FROM with_previous WHERE previous IS DISTINCT FROM kind || chr(10) || parameters
WINDOW life AS (PARTITION BY name, removed_at ORDER BY valid_from);

UPDATE state.recipe SET valid_to = version.valid_to
FROM recipe_version AS version
WHERE NOT version.is_new AND version.name = state.recipe.name AND state.recipe.valid_to = open_end();

INSERT INTO state.recipe BY NAME SELECT * EXCLUDE (is_new) FROM recipe_version WHERE is_new ORDER BY valid_from, ordinal;

DROP TABLE recipe_version;
