-- 010_class.sql: which classes there are, and the value that each burns, as of each position
UPDATE state.class SET valid_to = change.position
FROM (SELECT class, min(position) AS position FROM log.class_change
      WHERE position > $after AND position <= $up_to AND change <> 'added' GROUP BY class) AS change
WHERE state.class.class = change.class AND valid_to = open_end();

INSERT INTO state.class BY NAME
SELECT class, value, row_digest, position AS valid_from, until AS valid_to
FROM (SELECT *, coalesce(lead(position) OVER (PARTITION BY class ORDER BY position), open_end()) AS until
      FROM log.class_change WHERE position > $after AND position <= $up_to)
WHERE change <> 'removed'
ORDER BY position, ordinal;
