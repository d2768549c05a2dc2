-- reviews.sql: the reviews up to a revision, with the positions that the reviewed revisions have in this chain (null: not in it)
-- needs: chain_event, variable position, $from_position, $to_position (null: any) · makes: one result: position, recorded_at, author,
-- verdict, from, to, from_digest, to_digest, message
WITH review AS (
    SELECT position, recorded_at, author, message, payload->>'$.review.verdict' AS verdict,
           payload->>'$.review.before.digest' AS from_digest, payload->>'$.review.after.digest' AS to_digest
    FROM chain_event WHERE kind = 'revisions_reviewed' AND position <= getvariable('position')
)
SELECT review.position, review.recorded_at::TIMESTAMP AS recorded_at, review.author, verdict, before.position AS "from",
       after.position AS "to", from_digest, to_digest, review.message
FROM review LEFT JOIN chain_event AS before ON before.digest = from_digest
LEFT JOIN chain_event AS after ON after.digest = to_digest
WHERE ($from_position::BIGINT IS NULL OR before.position = $from_position)
  AND ($to_position::BIGINT IS NULL OR after.position = $to_position)
ORDER BY review.position;
