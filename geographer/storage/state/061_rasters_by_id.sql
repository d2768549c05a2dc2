-- 061_rasters_by_id.sql: the rows of the log by the rasters that they name, and those of chips by their parents and features
-- needs: chain_raster_change, $after, $up_to · makes: rows of state.object_change
INSERT INTO state.object_change BY NAME
SELECT role, (hash(id) >> 32)::UINTEGER AS object_hash, position, ordinal
FROM (
    SELECT 'raster' AS role, raster_id AS id, position, ordinal FROM chain_raster_change
    UNION ALL SELECT 'parent', parent_id, position, ordinal FROM chain_raster_change
    UNION ALL SELECT 'chip feature', feature_id, position, ordinal FROM chain_raster_change
)
WHERE id IS NOT NULL AND position > $after AND position <= $up_to
ORDER BY role, object_hash;
