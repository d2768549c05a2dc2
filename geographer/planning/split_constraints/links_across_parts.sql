-- links_across_parts.sql: whether a feature, or one of the linked pairs, has grouped rasters of different parts of a split
-- needs: grouped_raster, current_split, $split, queries for features and pairs in the places with braces · makes: one result: a row for each, if any
WITH part AS (
    SELECT raster_index, part FROM grouped_raster JOIN (FROM current_split WHERE split = $split) USING (raster_id)
)
SELECT true FROM ({features}) JOIN part USING (raster_index) GROUP BY feature_id HAVING min(part) <> max(part)
UNION ALL
SELECT true FROM ({pairs})
JOIN part AS a ON a.raster_index = raster_a JOIN part AS b ON b.raster_index = raster_b WHERE a.part <> b.part;
