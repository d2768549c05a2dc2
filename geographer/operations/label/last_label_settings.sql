-- last_label_settings.sql: the settings that the labels $name were last made with, or that an import recorded for their recipe
-- needs: log.event, variable position, $name · makes: one result: settings (JSON, at most one row)
WITH entry AS (
    SELECT position, payload AS settings FROM log.event
    WHERE kind = 'labels_made' AND (payload->>'$.recipe.name') = $name
    UNION ALL
    SELECT position, recipe.value->'$.form'
    FROM log.event, json_each(payload, '$.recipes') AS recipe
    WHERE kind = 'dataset_imported' AND (recipe.value->>'$.name') = $name
)
SELECT settings FROM entry WHERE position <= getvariable('position') ORDER BY position DESC LIMIT 1;
