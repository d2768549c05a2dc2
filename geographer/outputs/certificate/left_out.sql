-- left_out.sql: rasters that a certificate does not cover, and those whose bytes are not in DVC, each with why
-- needs: current_raster, current_split, $split, $collection · makes: one result: why, raster_id
WITH assigned AS (FROM current_split WHERE split = $split)
SELECT 'excluded' AS why, raster_id FROM assigned WHERE part IS NULL
UNION ALL
SELECT 'not in the split', raster_id FROM current_raster
WHERE collection = $collection AND raster_id NOT IN (SELECT raster_id FROM assigned)
UNION ALL
SELECT 'not in the revision', raster_id FROM assigned WHERE raster_id NOT IN (SELECT raster_id FROM current_raster)
UNION ALL
SELECT if(storage = 'catalogue', 'without bytes', 'reference'), raster_id
FROM current_raster JOIN assigned USING (raster_id) WHERE part IS NOT NULL AND storage NOT IN ('dvc', 'virtual')
UNION ALL
SELECT 'without ground', raster_id
FROM current_raster JOIN assigned USING (raster_id) WHERE part IS NOT NULL AND (footprint IS NULL OR ST_IsEmpty(footprint))
ORDER BY ALL;
