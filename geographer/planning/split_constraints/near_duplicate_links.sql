-- near_duplicate_links.sql: pairs of the grouped rasters whose pixels a split found to be near-duplicates, on any branch
-- needs: grouped_raster, current_raster, state.raster, log.event · makes: one result: raster_a, raster_b
WITH found AS (
    SELECT unnest(from_json(payload->'$.near_duplicates.pairs', '[{"digests": ["VARCHAR"]}]')).digests AS digests
    FROM log.event WHERE kind = 'split_assigned' AND json_exists(payload, '$.near_duplicates')
), pair AS (
    SELECT DISTINCT digests[1] AS a, digests[2] AS b FROM found
), member AS (
    -- Of a virtual chip, the SHA-256 is that of its window; the chip may have become a file since.
    SELECT raster_index, coalesce(pixel_digest, sha256) AS pixel_digest FROM current_raster JOIN grouped_raster USING (raster_key)
    UNION
    SELECT raster_index, virtual_chip.sha256
    FROM current_raster AS file JOIN grouped_raster USING (raster_key)
    JOIN state.raster AS virtual_chip
        ON virtual_chip.raster_id = file.raster_id AND virtual_chip.valid_to = file.valid_from AND virtual_chip.storage = 'virtual'
)
SELECT DISTINCT least(first.raster_index, second.raster_index) AS raster_a, greatest(first.raster_index, second.raster_index) AS raster_b
FROM pair JOIN member AS first ON first.pixel_digest = pair.a JOIN member AS second ON second.pixel_digest = pair.b
WHERE first.raster_index <> second.raster_index
ORDER BY raster_a, raster_b;
