-- restorable_rasters.sql: the last version of each raster of $ids as a log row that adds it, with the code of what forbids that
-- needs: chain_raster_change, current_raster, state.raster, state.recipe, remembered_removal, macro is_current, variable position, $ids ·
-- makes: temp table restorable_raster
CREATE OR REPLACE TEMP TABLE restorable_raster AS
WITH last_change AS (
    SELECT raster_id, max(position) FILTER (change <> 'removed') AS position, max(position) AS removed_at
    FROM chain_raster_change
    WHERE position <= getvariable('position') AND raster_id IN (SELECT unnest($ids::VARCHAR[]))
    GROUP BY raster_id
), version AS (
    SELECT change.* EXCLUDE (change, ordinal, row_digest), removed_at
    FROM chain_raster_change AS change JOIN last_change USING (raster_id, position)
), parent AS (
    -- What a chip can be a part of: rasters of the dataset, and those that are restored with it.
    SELECT raster_id, sha256, crs FROM current_raster UNION ALL SELECT raster_id, sha256, crs FROM version
), recipe AS (
    SELECT name, kind, valid_from FROM state.recipe WHERE is_current(valid_from, valid_to)
)
SELECT 'added' AS change, version.* EXCLUDE (position, removed_at), CASE
    WHEN raster_id IN (SELECT raster_id FROM current_raster) THEN 'exists'
    WHEN parent_id IS NULL AND collection IN (SELECT name FROM recipe WHERE kind LIKE 'cut %') THEN 'collection'
    WHEN parent_id IS NOT NULL AND raster_id NOT IN (SELECT raster_id FROM remembered_removal) THEN 'retired'
    WHEN parent_id IS NOT NULL AND NOT EXISTS (
        FROM recipe WHERE recipe.name = version.recipe AND recipe.valid_from < version.removed_at) THEN 'recipe'
    WHEN parent_id IS NOT NULL AND NOT EXISTS (
        FROM state.raster AS source JOIN parent USING (raster_id, sha256, crs)
        WHERE source.raster_id = version.parent_id
          AND source.valid_from <= version.position AND source.valid_to > version.position) THEN 'parent'
    END AS problem
FROM version;
