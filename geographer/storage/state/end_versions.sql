-- end_versions.sql: ends the versions of objects of {table} that an event changed or removed; {same_object} compares {keys}
-- needs: chain_{table}_change, macros.sql, $after, $up_to · makes: ends of versions in state.{table}
UPDATE state.{table} SET valid_to = change.position
FROM (SELECT {keys}, min(position) AS position FROM chain_{table}_change
      WHERE position > $after AND position <= $up_to AND change <> 'added' GROUP BY ALL) AS change
WHERE {same_object} AND valid_to = open_end();
