-- 060_split.sql: which part each raster is assigned to, as of each position; no part: left out by a decision
UPDATE state.split SET valid_to = change.position
FROM (SELECT split, raster_id, min(position) AS position FROM log.split_change
      WHERE position > $after AND position <= $up_to AND change <> 'added' GROUP BY ALL) AS change
WHERE state.split.split = change.split AND state.split.raster_id = change.raster_id AND valid_to = open_end();

INSERT INTO state.split BY NAME
SELECT split, raster_id, part, row_digest, position AS valid_from, until AS valid_to
FROM (SELECT *, coalesce(lead(position) OVER (PARTITION BY split, raster_id ORDER BY position), open_end()) AS until
      FROM log.split_change WHERE position > $after AND position <= $up_to)
WHERE change <> 'removed'
ORDER BY position, ordinal;
