-- 050_tag.sql: the tags, each with the position of the event whose digest it records
-- needs: tag_fact, state.event · makes: rows of state.tag
INSERT INTO state.tag
SELECT tag, tag_fact.position, coalesce(event.position, tagged_position), tag_fact.digest, content_digest, merkle_root, version,
       log_root
FROM tag_fact LEFT JOIN state.event AS event USING (digest)
ORDER BY tag_fact.position;
