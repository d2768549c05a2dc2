-- probability_values.sql: the value of each feature in the probability columns, as text and as a number (null: not a number)
-- needs: probability_column (name, pointer), current_feature · makes: temp table class_probability
CREATE OR REPLACE TEMP TABLE class_probability AS
SELECT *, TRY_CAST(text AS DOUBLE) AS probability
FROM (SELECT feature_key, name, json_extract_string(properties, pointer) AS text
      FROM current_feature CROSS JOIN probability_column)
WHERE text IS NOT NULL;
