-- last_label_settings.sql: what had the labels $name in common when they were last made, or else when an import brought their recipe?
WITH entry AS (
    SELECT position, payload AS form FROM log.event
    WHERE kind = 'labels_made' AND (payload->>'$.recipe.name') = $name
    UNION ALL
    SELECT position, brought.value->'$.form'
    FROM log.event, json_each(payload, '$.recipes') AS brought
    WHERE kind = 'dataset_imported' AND (brought.value->>'$.name') = $name
)
SELECT form FROM entry WHERE position <= getvariable('position') ORDER BY position DESC LIMIT 1;
