-- 060_features_by_id.sql: the rows of the log by the features that they name
-- needs: chain_feature_change, $after, $up_to · makes: rows of state.object_change
INSERT INTO state.object_change BY NAME
SELECT role, (hash(id) >> 32)::UINTEGER AS object_hash, position, ordinal
FROM (
    SELECT 'feature' AS role, feature_id AS id, position, ordinal FROM chain_feature_change
)
WHERE id IS NOT NULL AND position > $after AND position <= $up_to
ORDER BY role, object_hash;
