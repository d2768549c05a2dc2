-- remap.sql: log rows of the features that a remap of classes changes or removes
-- needs: class_remap (class, target, is_changed), probability_remap (name, target), class_probability, current_feature,
--        $cleared_properties (JSON that sets the changed probability columns to null), $original_column ·
-- makes: temp table remapped_feature
CREATE OR REPLACE TEMP TABLE remapped_feature AS
WITH feature_with_changed_probability AS (
    SELECT DISTINCT feature_key FROM class_probability JOIN probability_remap USING (name) WHERE target IS DISTINCT FROM name
), probability_sum AS (
    -- The order of the columns' names makes floating-point sums reproducible.
    SELECT feature_key, target, list_sum(list(probability ORDER BY name)) AS probability
    FROM class_probability JOIN probability_remap USING (name) SEMI JOIN feature_with_changed_probability USING (feature_key)
    WHERE target IS NOT NULL GROUP BY feature_key, target
), probability_json AS (
    SELECT feature_key, '{' || string_agg(to_json(target) || ':' || to_json(probability), ',' ORDER BY target) || '}' AS sums
    FROM probability_sum GROUP BY feature_key
), affected_feature AS (
    SELECT feature.*, target, is_changed, sums, changed.feature_key IS NOT NULL AS has_changed_probability
    FROM current_feature AS feature JOIN class_remap USING (class)
    LEFT JOIN feature_with_changed_probability AS changed USING (feature_key)
    LEFT JOIN probability_json USING (feature_key)
    WHERE is_changed OR changed.feature_key IS NOT NULL
)
-- json_merge_patch: a null removes the column, so that old values do not remain beside the sums.
SELECT 'changed' AS change, feature_key, feature_id, id_is_integer, target AS class,
       ST_AsWKB(coalesce(native, geometry))::BLOB AS geometry, crs,
       json_merge_patch(
           properties,
           CASE WHEN has_changed_probability THEN $cleared_properties ELSE '{}' END,
           coalesce(sums, '{}'),
           CASE WHEN is_changed AND (properties->>('$.' || $original_column)) IS NULL THEN json_object($original_column, class)
                ELSE '{}' END)::VARCHAR AS properties
FROM affected_feature WHERE target IS NOT NULL
UNION ALL
SELECT 'removed', feature_key, feature_id, NULL, NULL, NULL, NULL, NULL FROM affected_feature WHERE target IS NULL
ORDER BY feature_key;
