-- 060_object_change.sql: the rows of the log by the features and rasters that they name
-- needs: chain_feature_change, chain_raster_change, chain_label_change, chain_split_change, $after, $up_to
-- · makes: rows of state.object_change
INSERT INTO state.object_change BY NAME
SELECT role, (hash(id) >> 32)::UINTEGER AS object_hash, position, ordinal
FROM (
    SELECT 'feature' AS role, feature_id AS id, position, ordinal FROM chain_feature_change
    UNION ALL SELECT 'raster', raster_id, position, ordinal FROM chain_raster_change
    UNION ALL SELECT 'parent', parent_id, position, ordinal FROM chain_raster_change
    UNION ALL SELECT 'chip feature', feature_id, position, ordinal FROM chain_raster_change
    UNION ALL SELECT 'label', raster_id, position, ordinal FROM chain_label_change
    UNION ALL SELECT 'split', raster_id, position, ordinal FROM chain_split_change
)
WHERE id IS NOT NULL AND position > $after AND position <= $up_to
ORDER BY role, object_hash;
