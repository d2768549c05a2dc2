-- remembered_removals.sql: the rasters that events of $kinds removed and that no later event added: recipes leave them out
-- needs: chain_event, chain_raster_change, variable position, $kinds · makes: temp table remembered_removal (raster_id, removed_at)
CREATE OR REPLACE TEMP TABLE remembered_removal AS
WITH removal AS (
    SELECT raster_id, max(position) AS removed_at
    FROM chain_raster_change SEMI JOIN (FROM chain_event WHERE list_contains($kinds::VARCHAR[], kind)) USING (position)
    WHERE change = 'removed' AND position <= getvariable('position')
    GROUP BY raster_id
), last_change AS (
    SELECT raster_id, max(position) AS removed_at
    FROM chain_raster_change SEMI JOIN removal USING (raster_id)
    WHERE position <= getvariable('position')
    GROUP BY raster_id
)
FROM removal SEMI JOIN last_change USING (raster_id, removed_at);
