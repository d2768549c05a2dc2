-- release_events.sql: the events that lead to a revision, in the chain and in branches that were merged into it
-- needs: chain_event, log.event, $position, $merged (digests) · makes: one result: position (null if merged), kind, recorded_at,
-- author, message, digest, recipe, software, command (of an outside step, with its code and what it made)
SELECT position, kind, recorded_at, author, message, digest, payload->'$.recipe' AS recipe, payload->'$.software' AS software,
       if(kind = 'command_run', json_object('words', payload->'$.request.command', 'commit', payload->'$.code.commit',
                                            'collection', payload->'$.request.collection', 'label', payload->'$.request.label'), NULL) AS command
FROM (
    FROM chain_event WHERE position <= $position
    UNION ALL BY NAME
    SELECT * EXCLUDE (event_key) FROM log.event WHERE digest IN (SELECT unnest($merged::VARCHAR[]))
)
ORDER BY generation, digest;
