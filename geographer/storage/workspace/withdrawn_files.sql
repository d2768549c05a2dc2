-- withdrawn_files.sql: the files that events of a chain withdrew and that no raster or label has at its head; only those that the
-- withdrawn raster had, as another row of the chain says: an event from elsewhere can name any file
-- needs: log.withdrawn_file, log.chain, log.event, log.raster_change, log.label_change, $branch, $head: the last position of the
-- chain that counts · makes: one result: md5, raster_id, path, sha256, size, position, reason
WITH chain AS (
    SELECT position, event_key FROM log.chain WHERE branch = $branch AND position <= $head
), reason AS (
    -- A merge event takes over what another branch withdrew, and adds chips that were cut from it; the event there has the reason.
    SELECT md5, arg_min(TRY_CAST(payload AS JSON)->>'$.request.reason', generation) AS reason
    FROM log.withdrawn_file JOIN log.event USING (event_key) GROUP BY md5
), withdrawn AS (
    SELECT md5, raster_id, path, sha256, size, position, ordinal, coalesce(reason, max(reason) OVER (PARTITION BY event_key)) AS reason
    FROM log.withdrawn_file JOIN chain USING (event_key) LEFT JOIN reason USING (md5)
    WHERE regexp_full_match(md5, '[0-9a-f]{32}')
), stored AS (
    SELECT raster_id, md5 FROM log.raster_change JOIN chain USING (event_key)
    WHERE storage = 'dvc' AND change <> 'removed' AND md5 IN (SELECT md5 FROM withdrawn)
), last_change AS (
    SELECT arg_max_null(if(change = 'removed', NULL, md5), (position << 32) + ordinal) AS md5
    FROM log.raster_change JOIN chain USING (event_key) GROUP BY raster_id
    UNION ALL
    SELECT arg_max_null(if(change = 'removed', NULL, md5), (position << 32) + ordinal)
    FROM log.label_change JOIN chain USING (event_key) GROUP BY label, raster_id
)
SELECT md5, raster_id, path, sha256, size, position, reason
FROM withdrawn SEMI JOIN stored USING (raster_id, md5) ANTI JOIN (FROM last_change WHERE md5 IS NOT NULL) USING (md5)
ORDER BY position, ordinal;
