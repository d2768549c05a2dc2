-- removals.sql: whether recipes leave a raster out on each side, of the rasters of which events after the common ones say something. A
--   removal by an event of $kinds counts, and what events of $listing_kinds list
-- needs: side_name, side_event, log.raster_change, log.event, common_removal, $kinds, $listing_kinds · makes: temp table removal: raster_id,
-- side, is_remembered
CREATE OR REPLACE TEMP TABLE removal AS
WITH listing AS (
    SELECT side, position, payload FROM side_event JOIN (SELECT event_key, payload FROM log.event) USING (event_key)
    WHERE list_contains($listing_kinds::VARCHAR[], kind)
), entry AS (
    SELECT side, raster_id, position, 0 AS rank, change = 'removed' AND list_contains($kinds::VARCHAR[], kind) AS is_remembered
    FROM log.raster_change JOIN side_event USING (event_key)
    UNION ALL SELECT side, unnest(json_extract_string(payload, '$.remembered[*]')), position, 1, true FROM listing
    UNION ALL SELECT side, unnest(json_extract_string(payload, '$.forgotten[*]')), position, 1, false FROM listing
), last_entry AS (
    SELECT side, raster_id, arg_max(is_remembered, row(position, rank)) AS is_remembered FROM entry GROUP BY ALL
), candidate AS (
    SELECT DISTINCT raster_id, side_name.side FROM last_entry, side_name
    WHERE raster_id IN (SELECT raster_id FROM last_entry WHERE is_remembered) OR raster_id IN (FROM common_removal)
)
SELECT raster_id, side, coalesce(is_remembered, raster_id IN (FROM common_removal)) AS is_remembered
FROM candidate LEFT JOIN last_entry USING (raster_id, side);
