-- event_kinds.sql: how many events of each kind lead to the revision in its chain, and when the first and the last were recorded
-- needs: events · makes: one result: kind, events, first, last
SELECT kind, count(*) AS events, strftime(min(recorded_at), '%Y-%m-%d') AS first, strftime(max(recorded_at), '%Y-%m-%d') AS last
FROM events
GROUP BY kind
ORDER BY events DESC, kind;
