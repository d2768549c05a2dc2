-- class_history.sql: the events that added, changed or removed the class $name
-- needs: log.class_change, log.chain, $name, $branch · makes: one result: position, object, ordinal, change, detail, parent
SELECT position, 'class' AS object, ordinal, change, 'value ' || value AS detail, NULL::VARCHAR AS parent
FROM log.class_change JOIN (SELECT position, event_key FROM log.chain WHERE branch = $branch) USING (event_key)
WHERE class = $name;
