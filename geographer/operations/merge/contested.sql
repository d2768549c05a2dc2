-- contested.sql: all columns of the versions, on each side, of objects that both parents changed differently; {contested} selects their ids
-- needs: version_{table}, decision_{table}, log.{table} · makes: one result: id, side, row_digest, {columns}
SELECT id, side, version.row_digest, {columns}
FROM ({contested}) JOIN version_{table} AS version ON version.{key} = id
JOIN log.{table} AS change ON change.event_key = version.event_key AND change.{key} = id;
