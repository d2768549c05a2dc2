-- recipes.sql: the recipes of a revision, with their places in the order of recipes and the settings that their labels were last
--   made with (null: none are recorded)
-- needs: state.recipe, chain_event, macro is_current, variable position ·
-- makes: one result: name, kind, parameters, position, ordinal, settings (JSON)
WITH recipe AS (
    FROM state.recipe WHERE is_current(valid_from, valid_to)
), entry AS (
    SELECT position, payload->>'$.recipe.name' AS name, payload AS settings FROM chain_event
    WHERE kind = 'labels_made' AND position <= getvariable('position')
    UNION ALL
    SELECT position, item.value->>'$.name', item.value->'$.form' FROM chain_event, json_each(payload, '$.recipes') AS item
    WHERE position <= getvariable('position')
), last_entry AS (
    SELECT name, arg_max(settings, entry.position) AS settings FROM entry
    JOIN (SELECT name, position AS first_position FROM recipe WHERE starts_with(kind, 'label')) AS label USING (name)
    WHERE entry.position >= first_position
    GROUP BY name
)
SELECT name, kind, parameters, recipe.position, recipe.ordinal, settings
FROM recipe LEFT JOIN last_entry USING (name);
