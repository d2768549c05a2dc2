-- label_change.sql: the rows of new events in {table} that cannot be used, each with its first problem
-- needs: chain_{table}, macros.sql, path_fault.sql, $after, $up_to · makes: rows of state.unreadable_row
INSERT INTO state.unreadable_row
WITH with_problem AS (
    SELECT *, CASE
        WHEN label IS NULL OR raster_id IS NULL THEN 'it has no id'
        WHEN change = 'removed' THEN NULL
        WHEN path_fault(path) IS NOT NULL THEN path_fault(path)
        WHEN NOT has_checksums(size, md5, sha256) THEN 'its checksums are not valid'
        END AS problem
    FROM chain_{table} WHERE position > $after AND position <= $up_to
)
SELECT position, '{table}', ordinal, {object}, problem, row_digest, position, open_end()
FROM with_problem WHERE problem IS NOT NULL
ORDER BY position, ordinal;
