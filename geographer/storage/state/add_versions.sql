-- add_versions.sql: the new versions of the objects of {table}, for tables whose columns are those of the log
-- needs: chain_{table}_change, macros.sql, $after, $up_to · makes: new versions in state.{table}
INSERT INTO state.{table} BY NAME
SELECT {columns}, row_digest, position AS valid_from, until AS valid_to
FROM (SELECT *, coalesce(lead(position) OVER (PARTITION BY {keys} ORDER BY position), open_end()) AS until
      FROM chain_{table}_change WHERE position > $after AND position <= $up_to)
WHERE change <> 'removed'
ORDER BY position, ordinal;
