-- last_label_settings.sql: the settings that the labels $name were last made with, or that an import recorded for their recipe
-- needs: chain_event, recipe_name, variable position, $name · makes: one result: settings (JSON, at most one row)
WITH own_name AS (
    SELECT name, until FROM recipe_name WHERE recipe = $name UNION SELECT $name, 9223372036854775807
), entry AS (
    SELECT position, payload->>'$.recipe.name' AS name, payload AS settings FROM chain_event
    UNION ALL
    SELECT position, recipe.value->>'$.name', recipe.value->'$.form'
    FROM chain_event, json_each(payload, '$.recipes') AS recipe
)
SELECT settings FROM entry JOIN own_name USING (name)
WHERE position <= getvariable('position') AND position < until ORDER BY position DESC LIMIT 1;
