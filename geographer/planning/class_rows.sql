-- class_rows.sql: the rows of classes that events removed, and all those of some kinds of events, in whichever chain they are
-- needs: log.class_change, log.event, $kinds · makes: one result: digest, kind, change, class
SELECT digest, kind, change, class FROM log.class_change JOIN log.event USING (event_key)
WHERE class IS NOT NULL AND (change = 'removed' OR list_contains($kinds::VARCHAR[], kind));
