-- logged_versions.sql: versions of objects of {table}, those that {source} selects by columns {names}, as the log has them
-- needs: chain_{table}, tables of {source} · makes: one result: the columns of the log
SELECT {columns} FROM chain_{table} AS change JOIN ({source}) AS version USING ({names});
