-- withdrawn_files.sql: the files that events of the chain withdrew and that no raster or label has at the head
-- needs: log.withdrawn_file, log.chain, log.event, chain_raster_change, chain_label_change, $branch · makes: one result: md5,
-- raster_id, path, sha256, size, position, reason
WITH withdrawn AS (
    SELECT md5, raster_id, path, sha256, size, position, ordinal,
           TRY_CAST(payload AS JSON)->>'$.request.reason' AS reason
    FROM log.withdrawn_file JOIN (FROM log.chain WHERE branch = $branch) USING (event_key) JOIN log.event USING (event_key)
    WHERE regexp_full_match(md5, '[0-9a-f]{32}')
), last_change AS (
    SELECT arg_max_null(if(change = 'removed', NULL, md5), (position << 32) + ordinal) AS md5 FROM chain_raster_change GROUP BY raster_id
    UNION ALL
    SELECT arg_max_null(if(change = 'removed', NULL, md5), (position << 32) + ordinal) FROM chain_label_change GROUP BY label, raster_id
)
SELECT md5, raster_id, path, sha256, size, position, reason
FROM withdrawn ANTI JOIN (FROM last_change WHERE md5 IS NOT NULL) USING (md5)
ORDER BY position, ordinal;
