-- orphaned_chips.sql: do not import chips, at any depth, that were cut from a raster whose version here is kept or removed, nor those
--   cut around a feature, or by a recipe of $removed_recipes, that this dataset removed
-- needs: incoming_raster, incoming_feature, $removed_recipes · makes: updates incoming_raster.is_imported and .status
WITH RECURSIVE orphan AS (
    SELECT raster_id FROM incoming_raster
    WHERE (status <> 'equal' AND NOT is_imported)
       OR (parent_id IS NOT NULL AND (
           list_contains($removed_recipes::VARCHAR[], recipe)
           OR feature_id IN (SELECT feature_id FROM incoming_feature WHERE status IN ('removed', 'disputed') AND NOT is_imported)))
    UNION
    SELECT chip.raster_id FROM incoming_raster AS chip JOIN orphan ON chip.parent_id = orphan.raster_id
)
UPDATE incoming_raster
SET is_imported = false, status = CASE status WHEN 'added' THEN 'orphan' WHEN 'changed' THEN 'kept' ELSE status END
WHERE raster_id IN (SELECT raster_id FROM orphan);
