-- probability_values.sql: what each feature says in the columns of `soft_column` (name, pointer), as text and as a number
CREATE OR REPLACE TEMP TABLE soft_value AS
SELECT *, TRY_CAST(said AS DOUBLE) AS probability
FROM (SELECT feature_key, name, json_extract_string(properties, pointer) AS said FROM feature_now CROSS JOIN soft_column)
WHERE said IS NOT NULL;
