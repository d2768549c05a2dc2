-- logged_files.sql: the files of the revision at $at, read from the log rather than from the state
-- needs: log.raster_change, log.label_change, $at ·
-- makes: one result: path, size, md5, sha256, raster_id, label, storage, position
WITH raster AS (
    SELECT *, row_number() OVER (PARTITION BY raster_id ORDER BY position DESC, ordinal DESC) AS recency
    FROM log.raster_change WHERE position <= $at
), label AS (
    SELECT *, row_number() OVER (PARTITION BY label, raster_id ORDER BY position DESC, ordinal DESC) AS recency
    FROM log.label_change WHERE position <= $at
)
SELECT path, size, md5, sha256, raster_id, NULL AS label, storage, position
FROM raster WHERE recency = 1 AND change <> 'removed' AND storage <> 'catalogue'
UNION ALL
SELECT path, size, md5, sha256, raster_id, label, 'dvc', position FROM label WHERE recency = 1 AND change <> 'removed'
ORDER BY path;
