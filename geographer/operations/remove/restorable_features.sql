-- restorable_features.sql: the last version of each feature of $ids as a log row that adds it, with the code of what forbids that
-- needs: chain_feature_change, current_feature, current_class, variable position, $ids · makes: temp table restorable_feature
CREATE OR REPLACE TEMP TABLE restorable_feature AS
SELECT 'added' AS change, * EXCLUDE (change, position, ordinal, row_digest), CASE
    WHEN feature_id IN (SELECT feature_id FROM current_feature) THEN 'exists'
    WHEN class NOT IN (SELECT class FROM current_class) THEN 'class' END AS problem
FROM chain_feature_change
WHERE change <> 'removed' AND position <= getvariable('position') AND feature_id IN (SELECT unnest($ids::VARCHAR[]))
QUALIFY position = max(position) OVER (PARTITION BY feature_id);
