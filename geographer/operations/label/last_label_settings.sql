-- last_label_settings.sql: the settings that the labels $name were last made with, or that an import recorded for their recipe
-- needs: chain_event, variable position, $name · makes: one result: settings (JSON, at most one row)
WITH entry AS (
    SELECT position, payload AS settings FROM chain_event
    WHERE (payload->>'$.recipe.name') = $name
    UNION ALL
    SELECT position, recipe.value->'$.form'
    FROM chain_event, json_each(payload, '$.recipes') AS recipe
    WHERE (recipe.value->>'$.name') = $name
)
SELECT settings FROM entry WHERE position <= getvariable('position') ORDER BY position DESC LIMIT 1;
