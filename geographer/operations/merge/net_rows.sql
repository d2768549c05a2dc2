-- net_rows.sql: the rows of the event in {table}: what changes for the first parent
-- needs: decision_{table}, version_{table}, merged_{table}, log.{table} · makes: temp table net_{table}
CREATE OR REPLACE TEMP TABLE net_{table} AS
WITH taken AS (
    SELECT {keys}, event_key, if(first_digest IS NULL, 'added', 'changed') AS change
    FROM decision_{table} JOIN version_{table} USING ({keys})
    WHERE chosen = 'second' AND side = 'second' AND first_digest IS DISTINCT FROM second_digest
), gone AS (
    SELECT {keys}, event_key
    FROM decision_{table} JOIN version_{table} USING ({keys})
    WHERE side = 'first' AND (chosen = 'none' OR (chosen = 'second' AND second_digest IS NULL))
)
SELECT taken.change, {columns} FROM log.{table} JOIN taken USING (event_key, {keys})
UNION ALL BY NAME
SELECT 'removed' AS change, {removed_columns} FROM log.{table} JOIN gone USING (event_key, {keys})
UNION ALL BY NAME
SELECT change, {columns} FROM merged_{table}
ORDER BY {keys};
