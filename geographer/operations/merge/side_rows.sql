-- side_rows.sql: the last row of each object in {table} on each side after the common events, and the objects that have one
-- needs: side_event, log.{table} · makes: temp tables side_row_{table}, candidate_{table}
CREATE OR REPLACE TEMP TABLE side_row_{table} AS
SELECT side, {keys}, {columns} event_key, change <> 'removed' AS is_present, row_digest, generation, digest
FROM log.{table} JOIN side_event USING (event_key)
QUALIFY row_number() OVER (PARTITION BY side, {keys} ORDER BY position DESC, ordinal DESC) = 1;
CREATE OR REPLACE TEMP TABLE candidate_{table} AS SELECT DISTINCT {keys} FROM side_row_{table};
