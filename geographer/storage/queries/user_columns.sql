-- user_columns.sql: a person's own columns of $subject with their types, in the order in which they came; without those
-- that were dropped (their type is null) and did not come again
SELECT name, list(DISTINCT type)
FROM (SELECT *, max(position) FILTER (type IS NULL) OVER (PARTITION BY name) AS dropped
      FROM state.own_column WHERE subject = $subject AND position <= $position)
WHERE position > coalesce(dropped, 0)
GROUP BY name
ORDER BY min((position, ordinal));
