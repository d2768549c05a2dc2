-- reached_lines.sql: the lines of the content digest of objects of {kind} after rows that are not recorded yet
-- needs: current_{kind}, {rows} · makes: one result: line
SELECT '{kind} ' || row_digest || chr(10) AS line FROM current_{kind} ANTI JOIN {rows} USING ({keys})
UNION ALL
SELECT '{kind} ' || row_digest || chr(10) FROM {rows} WHERE change <> 'removed'
