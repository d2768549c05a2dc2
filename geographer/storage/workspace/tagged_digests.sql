-- tagged_digests.sql: the digests that the tags of a chain name, those that came with merges included, and where the chain has them
-- needs: log.event, log.chain, $branch, $head: the last position of the chain that counts · makes: one result: digest, position
-- (null: the chain lacks the event)
WITH chain AS (
    SELECT position, event_key FROM log.chain WHERE branch = $branch AND position <= $head
), payload AS (
    SELECT TRY_CAST(payload AS JSON) AS payload, kind FROM log.event JOIN chain USING (event_key)
    WHERE kind = 'revision_tagged' OR contains(payload, '"tags":[{')
), named AS (
    SELECT payload->>'$.tag.digest' AS digest FROM payload WHERE kind = 'revision_tagged'
    UNION
    SELECT tag->>'$.digest' FROM (
        SELECT unnest(TRY_CAST(payload->'$.tags' AS JSON[])) AS tag FROM payload WHERE kind <> 'revision_tagged'
    )
)
SELECT digest, chain.position
FROM named JOIN log.event USING (digest) LEFT JOIN chain USING (event_key)
ORDER BY ALL;
