-- end_rows.sql: ends the unreadable rows in {table} whose objects a later event changed
-- needs: chain_{table}, state.unreadable_row, macros.sql, $up_to · makes: ends of rows in state.unreadable_row
UPDATE state.unreadable_row SET valid_to = later.position
FROM (SELECT old.position AS old_position, old.object, min(new.position) AS position
      FROM state.unreadable_row AS old JOIN chain_{table} AS new
        ON {object} = old.object AND new.position > old.position AND new.position <= $up_to
      WHERE old.table_name = '{table}' AND old.valid_to = open_end() GROUP BY ALL) AS later
WHERE table_name = '{table}' AND unreadable_row.object = later.object AND unreadable_row.position = old_position;
