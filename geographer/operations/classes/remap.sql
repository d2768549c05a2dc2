-- remap.sql: the rows of features that a remap changes or drops, from `remap` (class, target, moved) and, for soft classes,
-- `soft_remap` (name, becomes) with `soft_value`
CREATE OR REPLACE TEMP TABLE remapped_feature AS
WITH touched AS (
    SELECT DISTINCT feature_key FROM soft_value JOIN soft_remap USING (name) WHERE becomes IS DISTINCT FROM name
), summed AS (
    -- Summed in the order of the columns' names: sums of fractions depend on it.
    SELECT feature_key, becomes, list_sum(list(probability ORDER BY name)) AS probability
    FROM soft_value JOIN soft_remap USING (name) SEMI JOIN touched USING (feature_key)
    WHERE becomes IS NOT NULL GROUP BY feature_key, becomes
), told AS (
    SELECT feature_key, '{' || string_agg(to_json(becomes) || ':' || to_json(probability), ',' ORDER BY becomes) || '}' AS sums
    FROM summed GROUP BY feature_key
), fate AS (
    SELECT feature.*, target, moved, told.sums, touched.feature_key IS NOT NULL AS touched
    FROM feature_now AS feature JOIN remap USING (class) LEFT JOIN touched USING (feature_key)
    LEFT JOIN told USING (feature_key)
    WHERE moved OR touched.feature_key IS NOT NULL
)
-- A null in a patch takes the column away, so that a sum is not what stood there before.
SELECT 'changed' AS change, feature_key, feature_id, id_is_integer, target AS class,
       ST_AsWKB(coalesce(native, geometry))::BLOB AS geometry, crs,
       json_merge_patch(
           properties,
           CASE WHEN touched THEN $emptied ELSE '{}' END,
           coalesce(sums, '{}'),
           CASE WHEN moved AND (properties->>'$.original_class') IS NULL THEN json_object('original_class', class)
                ELSE '{}' END)::VARCHAR AS properties
FROM fate WHERE target IS NOT NULL
UNION ALL
SELECT 'removed', feature_key, feature_id, NULL, NULL, NULL, NULL, NULL FROM fate WHERE target IS NULL
ORDER BY feature_key;
