-- copy_events.sql: the events of a log of layout 1, whose tables had no formats, keys and chain
-- needs: old.event · makes: rows of log.event, log.chain
INSERT INTO log.event BY NAME
SELECT position AS event_key, 1 AS format, position AS generation, * EXCLUDE (position) FROM old.event ORDER BY position;

INSERT INTO log.chain SELECT 'main', position, position FROM old.event ORDER BY position;
