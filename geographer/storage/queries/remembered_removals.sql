-- remembered_removals.sql: the rasters that users removed and that no later event added: recipes leave them out. They are those that
--   events of $kinds removed, and those that a patch lists, without those that a later patch lists as forgotten
-- needs: chain_event, chain_raster_change, variable position, $kinds, $listing_kinds ·
-- makes: temp table remembered_removal (raster_id, removed_at, is_listed)
CREATE OR REPLACE TEMP TABLE remembered_removal AS
WITH listing AS (
    SELECT position, payload FROM chain_event
    WHERE list_contains($listing_kinds::VARCHAR[], kind) AND position <= getvariable('position')
), listed AS (
    SELECT unnest(json_extract_string(payload, '$.remembered[*]')) AS raster_id, position AS removed_at, true AS is_remembered FROM listing
    UNION ALL SELECT unnest(json_extract_string(payload, '$.forgotten[*]')), position, false FROM listing
), removal AS (
    SELECT raster_id, max(removed_at) AS removed_at, arg_max(is_listed, removed_at) AS is_listed
    FROM (SELECT raster_id, position AS removed_at, false AS is_listed
          FROM chain_raster_change SEMI JOIN (FROM chain_event WHERE list_contains($kinds::VARCHAR[], kind)) USING (position)
          WHERE change = 'removed' AND position <= getvariable('position')
          UNION ALL SELECT raster_id, removed_at, true FROM listed WHERE is_remembered)
    GROUP BY raster_id
), last_change AS (
    SELECT raster_id, max(removed_at) AS removed_at
    FROM (SELECT raster_id, position AS removed_at FROM chain_raster_change WHERE position <= getvariable('position')
          UNION ALL SELECT raster_id, removed_at FROM listed)
    SEMI JOIN removal USING (raster_id)
    GROUP BY raster_id
)
FROM removal SEMI JOIN last_change USING (raster_id, removed_at);
