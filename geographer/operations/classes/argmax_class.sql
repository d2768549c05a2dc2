-- argmax_class.sql: log rows of the features whose class is not the most probable one
-- needs: class_probability, probability_class, current_feature, classes, $threshold · makes: temp table hardened_feature
CREATE OR REPLACE TEMP TABLE hardened_feature AS
WITH most_probable AS (
    SELECT feature_key, class AS argmax_class, probability
    FROM class_probability JOIN probability_class USING (name)
    QUALIFY row_number() OVER (PARTITION BY feature_key ORDER BY probability DESC, value) = 1
), feature_with_new_class AS (
    SELECT *, CASE WHEN probability < $threshold THEN coalesce((SELECT class FROM classes WHERE value = 0), class)
              ELSE argmax_class END AS new_class
    FROM current_feature JOIN most_probable USING (feature_key)
)
SELECT 'changed' AS change, feature_key, feature_id, id_is_integer, new_class AS class,
       ST_AsWKB(coalesce(native, geometry))::BLOB AS geometry, crs, properties
FROM feature_with_new_class WHERE new_class <> class
ORDER BY feature_key;
