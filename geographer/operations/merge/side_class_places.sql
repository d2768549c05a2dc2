-- side_class_places.sql: which event created each class on each side, of those that were added after the common events
-- needs: side_event, log.class_change, {given} · makes: one result: side, class, generation, digest
WITH entry AS (
    SELECT side, class, position, 0 AS rank, {{'generation': generation, 'digest': digest}} AS place
    FROM log.class_change JOIN side_event USING (event_key) WHERE change = 'added'
    UNION ALL
    SELECT side, object_id, position, 1, {{'generation': TRY_CAST(given.generation AS BIGINT), 'digest': given.digest}}
    FROM {given} AS given JOIN side_event USING (event_key) WHERE subject = 'class' AND change <> 'removed'
)
SELECT side, class, arg_max(place, row(position, rank)).generation AS generation, arg_max(place, row(position, rank)).digest AS digest
FROM entry GROUP BY side, class;
