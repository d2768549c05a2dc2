-- certified_rasters.sql: the rasters that a split gives a part, in order of id, with the numbers of their parts
-- needs: current_split, current_raster, $split · makes: temp table certified_raster
CREATE OR REPLACE TEMP TABLE certified_raster AS
SELECT row_number() OVER (ORDER BY raster_id) - 1 AS raster_index, raster_key, raster_id, part,
       dense_rank() OVER (ORDER BY part) - 1 AS part_number
FROM current_raster JOIN (FROM current_split WHERE split = $split AND part IS NOT NULL) USING (raster_id);
