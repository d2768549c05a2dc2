-- logged_files.sql: the files of the revision at $at, read from the log rather than from the state
-- needs: chain_raster_change, chain_label_change, $at ·
-- makes: one result: path, size, md5, sha256, raster_id, label, storage, position
WITH raster AS (
    SELECT *, row_number() OVER (PARTITION BY raster_id ORDER BY position DESC, ordinal DESC) AS recency
    FROM chain_raster_change WHERE position <= $at
), label AS (
    SELECT *, row_number() OVER (PARTITION BY label, raster_id ORDER BY position DESC, ordinal DESC) AS recency
    FROM chain_label_change WHERE position <= $at
)
SELECT path, size, md5, sha256, raster_id, NULL AS label, storage, position
FROM raster WHERE recency = 1 AND change <> 'removed' AND storage <> 'catalogue'
UNION ALL SELECT path, size, md5, sha256, raster_id, label, 'dvc', position FROM label WHERE recency = 1 AND change <> 'removed'
ORDER BY path;
