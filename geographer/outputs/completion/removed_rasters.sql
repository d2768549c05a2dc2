-- removed_rasters.sql: the ids that earlier revisions have and the head has not, which can be restored
-- needs: state.raster, state.meta · makes: rows of name
WITH version AS (SELECT raster_id, valid_to > (SELECT max(position) FROM state.meta) AS is_current FROM state.raster),
     ended AS MATERIALIZED (SELECT DISTINCT raster_id FROM version WHERE NOT is_current)
SELECT raster_id AS name
FROM ended
ANTI JOIN (FROM version SEMI JOIN ended USING (raster_id) WHERE is_current) USING (raster_id)
