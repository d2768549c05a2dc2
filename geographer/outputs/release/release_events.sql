-- release_events.sql: the events that lead to a revision, in the chain and in branches that were merged into it
-- needs: chain_event, log.event, $position, $merged (digests) · makes: one result: position (null if merged), kind, recorded_at,
-- author, message, digest, recipe, software
SELECT position, kind, recorded_at, author, message, digest, payload->'$.recipe' AS recipe, payload->'$.software' AS software
FROM (
    FROM chain_event WHERE position <= $position
    UNION ALL BY NAME
    SELECT * EXCLUDE (event_key) FROM log.event WHERE digest IN (SELECT unnest($merged::VARCHAR[]))
)
ORDER BY generation, digest;
