-- side_events.sql: the names of the sides $sides, and the events of each after the common ones; those of $ordered_kinds keep the order of
--   their rows
-- needs: side_digest, log.event, $sides, $ordered_kinds · makes: temp tables side_name, side_event
CREATE OR REPLACE TEMP TABLE side_name AS SELECT unnest($sides::VARCHAR[]) AS side;
CREATE OR REPLACE TEMP TABLE side_event AS
SELECT side, position, event_key, generation, digest, kind, list_contains($ordered_kinds::VARCHAR[], kind) AS keeps_row_order
FROM side_digest JOIN log.event USING (digest);
