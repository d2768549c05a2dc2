-- argmax_class.sql: the rows of features whose class is not the one that `soft_value` and `soft_class` (name, class, value) tell
CREATE OR REPLACE TEMP TABLE hardened_feature AS
WITH likeliest AS (
    SELECT feature_key, class AS likeliest, probability
    FROM soft_value JOIN soft_class USING (name)
    QUALIFY row_number() OVER (PARTITION BY feature_key ORDER BY probability DESC, value) = 1
), decided AS (
    SELECT *, CASE WHEN probability < $threshold THEN coalesce((SELECT class FROM classes WHERE value = 0), class)
              ELSE likeliest END AS hard
    FROM feature_now JOIN likeliest USING (feature_key)
)
SELECT 'changed' AS change, feature_key, feature_id, id_is_integer, hard AS class,
       ST_AsWKB(coalesce(native, geometry))::BLOB AS geometry, crs, properties
FROM decided WHERE hard <> class
ORDER BY feature_key;
