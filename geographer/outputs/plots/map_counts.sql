-- map_counts.sql: the numbers of the features of a map by class, in the order of class values
-- needs: map_feature, classes · makes: one result: class, features
SELECT class, count(*) AS features FROM map_feature LEFT JOIN classes USING (class) GROUP BY class, value ORDER BY value, class;
