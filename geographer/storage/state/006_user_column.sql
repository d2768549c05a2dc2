-- 006_user_column.sql: the user columns that events record, without those of a name and type that were recorded since it was dropped
-- needs: user_column_fact · makes: rows of state.user_column
-- An event that adds features records all of their columns: every revision would read a row of each event.
INSERT INTO state.user_column BY NAME
WITH record AS (
    SELECT subject, name, type, ordinal, position, false AS is_new FROM state.user_column
    UNION ALL SELECT subject, name, type, ordinal, position, true FROM user_column_fact
), with_life AS (
    SELECT *, count(*) FILTER (type IS NULL) OVER (PARTITION BY subject, name ORDER BY position, ordinal) AS life FROM record
)
SELECT * EXCLUDE (is_new, life) FROM (
    SELECT * FROM with_life
    QUALIFY row_number() OVER (PARTITION BY subject, name, type, life ORDER BY position, ordinal) = 1
) WHERE is_new
ORDER BY position, ordinal;
