-- published_files.sql: the data files that remotes have: those of their heads and of the tags there, as far as this log has them
-- needs: stored_file, state.tag, log.chain, $at · makes: one result: md5
WITH own_chain AS (
    SELECT position, event_key FROM log.chain WHERE branch = 'main' AND position <= $at
), remote_chain AS (
    SELECT branch, max(position) AS head, max(position) FILTER (own_chain.event_key IS NOT NULL) AS common
    FROM log.chain LEFT JOIN own_chain USING (position, event_key) WHERE branch LIKE '%/%' GROUP BY branch
), published_position AS (
    SELECT head AS position FROM remote_chain WHERE head = common
    UNION SELECT tagged_position FROM state.tag JOIN remote_chain ON tag.position <= common
)
SELECT DISTINCT md5 FROM stored_file JOIN published_position ON valid_from <= position AND valid_to > position;
