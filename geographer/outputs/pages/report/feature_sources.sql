-- feature_sources.sql: which event recorded the present version of features, from which file: numbers by event
-- needs: current_feature, chain_event · makes: one result: position, kind, recorded_at, author, source, features
SELECT event.position, kind, recorded_at, author, source, features
FROM (SELECT valid_from AS position, count(*) AS features FROM current_feature GROUP BY valid_from) AS counted
JOIN (SELECT position, kind, recorded_at, author, payload->>'$.source' AS source FROM chain_event) AS event USING (position)
ORDER BY event.position;
