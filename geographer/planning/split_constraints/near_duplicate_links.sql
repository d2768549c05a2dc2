-- near_duplicate_links.sql: pairs of the grouped rasters whose pixels a split found to be near-duplicates, on any branch
-- needs: grouped_raster, current_raster, log.event · makes: one result: raster_a, raster_b
WITH found AS (
    SELECT unnest(from_json(payload->'$.near_duplicates.pairs', '[{"digests": ["VARCHAR"]}]')).digests AS digests
    FROM log.event WHERE kind = 'split_assigned' AND json_exists(payload, '$.near_duplicates')
), pair AS (
    SELECT DISTINCT digests[1] AS a, digests[2] AS b FROM found
), member AS (
    SELECT raster_index, pixel_digest FROM current_raster JOIN grouped_raster USING (raster_key)
)
SELECT DISTINCT least(first.raster_index, second.raster_index) AS raster_a, greatest(first.raster_index, second.raster_index) AS raster_b
FROM pair JOIN member AS first ON first.pixel_digest = pair.a JOIN member AS second ON second.pixel_digest = pair.b
WHERE first.raster_index <> second.raster_index
ORDER BY raster_a, raster_b;
