-- 050_label.sql: which label each raster has, as of each position
UPDATE state.label SET valid_to = change.position
FROM (SELECT label, raster_id, min(position) AS position FROM log.label_change
      WHERE position > $after AND position <= $up_to AND change <> 'added' GROUP BY ALL) AS change
WHERE state.label.label = change.label AND state.label.raster_id = change.raster_id AND valid_to = open_end();

INSERT INTO state.label BY NAME
SELECT label, raster_id, path, size, md5, sha256, pixel_digest, row_digest, position AS valid_from, until AS valid_to
FROM (SELECT *, coalesce(lead(position) OVER (PARTITION BY label, raster_id ORDER BY position), open_end()) AS until
      FROM log.label_change WHERE position > $after AND position <= $up_to)
WHERE change <> 'removed'
ORDER BY position, ordinal;
