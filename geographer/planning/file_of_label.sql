-- file_of_label.sql: the user's file from which a label of the raster $raster_id with the SHA-256 $label_sha256 was added; that of an event
--   of the branch $branch first
-- needs: log.label_source, log.label_change, log.chain, $raster_id, $label_sha256, $branch · makes: one result: path, sha256, position (null:
--   of another branch; at most one row)
WITH label AS (
    SELECT event_key, label, raster_id FROM log.label_change WHERE raster_id = $raster_id AND sha256 = $label_sha256 AND change <> 'removed'
), chain AS (
    SELECT event_key, position FROM log.chain WHERE branch = $branch
)
SELECT path, sha256, position
FROM log.label_source JOIN label USING (event_key, label, raster_id) LEFT JOIN chain USING (event_key)
ORDER BY position IS NULL, position DESC, event_key DESC LIMIT 1;
