-- logged_files.sql: every file that the log itself, not its projection, records for the revision at $at
WITH raster AS (
    SELECT *, row_number() OVER (PARTITION BY raster_id ORDER BY position DESC, ordinal DESC) AS age
    FROM log.raster_change WHERE position <= $at
), label AS (
    SELECT *, row_number() OVER (PARTITION BY label, raster_id ORDER BY position DESC, ordinal DESC) AS age
    FROM log.label_change WHERE position <= $at
)
SELECT path, size, md5, sha256, raster_id, NULL AS label, storage, position
FROM raster WHERE age = 1 AND change <> 'removed' AND storage <> 'catalogue'
UNION ALL
SELECT path, size, md5, sha256, raster_id, label, 'dvc', position FROM label WHERE age = 1 AND change <> 'removed'
ORDER BY path;
