-- label_object_change.sql: the rows of new events in {table} that cannot be used, each with its first problem
-- needs: chain_{table}, macros.sql, $after, $up_to · makes: rows of state.unreadable_row
INSERT INTO state.unreadable_row
WITH with_problem AS (
    SELECT *, CASE
        WHEN label IS NULL OR raster_id IS NULL OR feature_id IS NULL THEN 'it has no id'
        WHEN box IS NOT NULL AND TRY_CAST(box AS DOUBLE[]) IS NULL THEN 'its box is not a list of numbers'
        WHEN corners IS NOT NULL AND TRY_CAST(corners AS DOUBLE[][]) IS NULL THEN 'its corners are not lists of numbers'
        WHEN visible IS NOT NULL AND TRY_CAST(visible AS DOUBLE) IS NULL THEN 'its visible fraction is not a number'
        END AS problem
    FROM chain_{table} WHERE position > $after AND position <= $up_to
)
SELECT position, '{table}', ordinal, {object}, problem, row_digest, position, open_end()
FROM with_problem WHERE problem IS NOT NULL
ORDER BY position, ordinal;
