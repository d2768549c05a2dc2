-- classes.sql: the classes with the value that each burns, and how many features have it
SELECT class, value, count(feature_key) AS features
FROM classes LEFT JOIN (SELECT feature_key, class FROM feature_now) USING (class)
GROUP BY class, value
ORDER BY value;
