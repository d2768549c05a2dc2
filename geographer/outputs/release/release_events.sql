-- release_events.sql: the events that lead to a revision
-- needs: chain_event, $position · makes: one result: position, kind, recorded_at, author, message, digest, recipe, software
SELECT position, kind, recorded_at, author, message, digest, payload->'$.recipe' AS recipe, payload->'$.software' AS software
FROM chain_event
WHERE position <= $position
ORDER BY position;
