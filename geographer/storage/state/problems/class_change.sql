-- class_change.sql: the rows of new events in {table} that cannot be used, each with its first problem
-- needs: chain_{table}, $after, $up_to · makes: rows of state.unreadable_row
INSERT INTO state.unreadable_row
WITH with_problem AS (
    SELECT *, CASE
        WHEN coalesce(class, '') = '' THEN 'it has no name'
        WHEN change = 'removed' THEN NULL
        WHEN value IS NULL OR value < 0 THEN 'its value is missing or negative'
        END AS problem
    FROM chain_{table} WHERE position > $after AND position <= $up_to
)
SELECT position, '{table}', ordinal, {object}, problem, row_digest, position, open_end()
FROM with_problem WHERE problem IS NOT NULL
ORDER BY position, ordinal;
