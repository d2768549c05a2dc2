-- orphaned_chips.sql: do not import chips, at any depth, that were cut from a raster whose version here is kept
-- needs: incoming_raster · makes: updates incoming_raster.is_imported and .status
WITH RECURSIVE orphan AS (
    SELECT raster_id FROM incoming_raster WHERE status = 'different' AND NOT is_imported
    UNION
    SELECT chip.raster_id FROM incoming_raster AS chip JOIN orphan ON chip.parent_id = orphan.raster_id
)
UPDATE incoming_raster SET is_imported = false, status = if(status = 'added', 'orphan', status)
WHERE raster_id IN (SELECT raster_id FROM orphan);
