-- 062_labels_by_id.sql: the rows of the log by the rasters of labels that they name
-- needs: chain_label_change, $after, $up_to · makes: rows of state.object_change
INSERT INTO state.object_change BY NAME
SELECT role, (hash(id) >> 32)::UINTEGER AS object_hash, position, ordinal
FROM (
    SELECT 'label' AS role, raster_id AS id, position, ordinal FROM chain_label_change
)
WHERE id IS NOT NULL AND position > $after AND position <= $up_to
ORDER BY role, object_hash;
