-- 040_recipe.sql: the versions of each recipe: one ends where other parameters or another order are recorded, or where it is removed
-- needs: recipe_fact, recipe_removal_fact, macros.sql · makes: versions in state.recipe, dropped temp table recipe_version
CREATE OR REPLACE TEMP TABLE recipe_version AS
WITH record AS (
    -- A recipe's `position` and `ordinal` are those of its first record since it was last removed.
    SELECT name, kind, parameters, position, ordinal, generation, added_by, place, valid_from, false AS is_new
    FROM state.recipe WHERE valid_to = open_end()
    UNION ALL SELECT name, kind, parameters, position, ordinal, generation, added_by, place, position, true FROM recipe_fact
), with_removal AS (
    SELECT *, coalesce((SELECT min(removal.position) FROM recipe_removal_fact AS removal
                        WHERE removal.name = record.name AND removal.position > record.valid_from), open_end()) AS removed_at
    FROM record
), with_order AS (
    -- The first of the events that created it: two branches can have added the same recipe.
    SELECT *, min({'generation': generation, 'added_by': added_by, 'place': place}) OVER (PARTITION BY name, removed_at ORDER BY valid_from, ordinal) AS first_order
    FROM with_removal
), with_previous AS (
    SELECT *, {'kind': kind, 'parameters': parameters, 'first_order': first_order} AS content, lag(content) OVER life AS previous
    FROM with_order WINDOW life AS (PARTITION BY name, removed_at ORDER BY valid_from, ordinal)
)
SELECT name, kind, parameters, first_value(position) OVER life AS position, first_value(ordinal) OVER life AS ordinal,
       first_order.generation AS generation, first_order.added_by AS added_by, first_order.place AS place,
       valid_from, lead(valid_from, 1, removed_at) OVER life AS valid_to, is_new
FROM with_previous WHERE previous IS DISTINCT FROM content
WINDOW life AS (PARTITION BY name, removed_at ORDER BY valid_from);

UPDATE state.recipe SET valid_to = version.valid_to
FROM recipe_version AS version
WHERE NOT version.is_new AND version.name = state.recipe.name AND state.recipe.valid_to = open_end();

INSERT INTO state.recipe BY NAME SELECT * EXCLUDE (is_new) FROM recipe_version WHERE is_new ORDER BY valid_from, ordinal;

DROP TABLE recipe_version;
