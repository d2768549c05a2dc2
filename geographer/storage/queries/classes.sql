-- classes.sql: the classes with their label values and numbers of features
-- needs: classes, current_feature · makes: one result: class, value, features
SELECT class, value, count(feature_key) AS features
FROM classes LEFT JOIN (SELECT feature_key, class FROM current_feature) USING (class)
GROUP BY class, value
ORDER BY value;
