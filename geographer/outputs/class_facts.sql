-- class_facts.sql: the value of the class $id, the position since which it has it, and its number of features
-- needs: current_class, current_feature, $id · makes: one result: value, since, features (at most one row)
SELECT value, valid_from AS since, (SELECT count(*) FROM current_feature WHERE class = $id) AS features
FROM current_class WHERE class = $id;
