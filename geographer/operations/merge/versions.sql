-- versions.sql: the version of each object in candidate_{table} on each side that has it: that of its last row there, else the common one
-- needs: side_name, side_row_{table}, candidate_{table}, state.{kind}, log.chain, log.event, $branch, $common · makes: temp tables
-- common_{table}, version_{table}
CREATE OR REPLACE TEMP TABLE common_{table} AS
SELECT {keys}, {columns} event_key, row_digest, generation, digest
-- In two steps, because DuckDB would read all columns of all rows.
FROM (FROM state.{kind} WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, {keys} FROM state.{kind} WHERE valid_from <= $common AND valid_to > $common)
    SEMI JOIN candidate_{table} USING ({keys})))
JOIN (SELECT position AS valid_from, event_key FROM log.chain WHERE branch = $branch) USING (valid_from)
JOIN (SELECT event_key, generation, digest FROM log.event) USING (event_key);
CREATE OR REPLACE TEMP TABLE version_{table} AS
SELECT * EXCLUDE (is_present) FROM side_row_{table} WHERE is_present
UNION ALL BY NAME
FROM (SELECT side, common_{table}.* FROM common_{table}, side_name) ANTI JOIN side_row_{table} USING (side, {keys});
