-- chain_objects.sql: the objects that revisions of a chain of the log need, from the log itself: md5, size, folder, name
-- needs: macro path_fault, log.chain, log.raster_change, log.label_change, $branch, $positions: the revisions · makes: temp tables
-- selected_revision (position), chain_file (folder, name, md5, size, valid_from, valid_to) of the versions that a selected revision
-- shows
CREATE OR REPLACE TEMP TABLE selected_revision AS SELECT unnest($positions::BIGINT[]) AS position;

CREATE OR REPLACE TEMP TABLE chain_file AS
WITH chain AS (
    SELECT position, event_key FROM log.chain
    WHERE branch = $branch AND position <= (SELECT max(position) FROM selected_revision)
), change AS (
    SELECT position, ordinal, 'r' || raster_id AS object, path, md5, size, storage = 'dvc' AND change <> 'removed' AS is_stored
    FROM log.raster_change JOIN chain USING (event_key)
    UNION ALL
    SELECT position, ordinal, 'l' || label || chr(0) || raster_id, path, md5, size, change <> 'removed'
    FROM log.label_change JOIN chain USING (event_key)
), version AS (
    SELECT *, position AS valid_from,
           coalesce(lead(position) OVER (PARTITION BY object ORDER BY position, ordinal), 9223372036854775807) AS valid_to
    FROM change
)
SELECT DISTINCT parse_dirpath(path, 'forward_slash') AS folder, parse_filename(path, false, 'forward_slash') AS name, md5,
       size, valid_from, valid_to
FROM version ASOF JOIN selected_revision ON valid_from <= selected_revision.position
WHERE selected_revision.position < valid_to AND is_stored AND regexp_full_match(md5, '[0-9a-f]{32}') AND path_fault(path) IS NULL;
