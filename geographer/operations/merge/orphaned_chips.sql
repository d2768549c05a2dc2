-- orphaned_chips.sql: chips whose raster stays as ours were cut from other pixels, and so were chips of those: left out
WITH RECURSIVE orphan AS (
    SELECT raster_id FROM coming_raster WHERE fate = 'other' AND NOT comes
    UNION
    SELECT chip.raster_id FROM coming_raster AS chip JOIN orphan ON chip.parent_id = orphan.raster_id
)
UPDATE coming_raster SET comes = false, fate = if(fate = 'added', 'orphan', fate)
WHERE raster_id IN (SELECT raster_id FROM orphan);
