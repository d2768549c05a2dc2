-- restorable_rasters.sql: the last version of each raster of $ids as a log row that adds it, with the code of what forbids that
-- needs: chain_raster_change, current_raster, state.raster, recipes, recipe_since, later_name, remembered_removal, variable position,
-- $ids · makes: temp table restorable_raster
CREATE OR REPLACE TEMP TABLE restorable_raster AS
WITH last_change AS (
    SELECT raster_id, max(position) FILTER (change <> 'removed') AS position, max(position) AS removed_at
    FROM chain_raster_change
    WHERE position <= getvariable('position') AND raster_id IN (SELECT unnest($ids::VARCHAR[]))
    GROUP BY raster_id
), version AS (
    SELECT change.* EXCLUDE (change, ordinal, row_digest) REPLACE (
               coalesce(collections.later, collection) AS collection, coalesce(recipes.later, recipe) AS recipe,
               CASE WHEN storage = 'dvc' AND collections.later IS NOT NULL
                    THEN concat_ws('/', 'rasters', collections.later, parse_filename(path, false, 'forward_slash')) ELSE path END AS path),
           removed_at
    FROM chain_raster_change AS change JOIN last_change USING (raster_id, position)
    LEFT JOIN (FROM later_name WHERE subject = 'collection') AS collections
    ON collections.name = collection AND removed_at > collections.since AND removed_at < collections.until
    LEFT JOIN (FROM later_name WHERE subject = 'recipe') AS recipes
    ON recipes.name = recipe AND removed_at > recipes.since AND removed_at < recipes.until
), parent AS (
    -- What a chip can be a part of: rasters of the dataset, and those that are restored with it.
    SELECT raster_id, sha256, crs FROM current_raster UNION ALL SELECT raster_id, sha256, crs FROM version
), recipe AS (
    SELECT name, kind, recorded_at FROM recipes JOIN recipe_since ON recipe = name
)
SELECT 'added' AS change, version.* EXCLUDE (position, removed_at), CASE
    WHEN raster_id IN (SELECT raster_id FROM current_raster) THEN 'exists'
    WHEN parent_id IS NULL AND collection IN (SELECT name FROM recipe WHERE kind LIKE 'cut %') THEN 'collection'
    WHEN parent_id IS NOT NULL AND raster_id NOT IN (SELECT raster_id FROM remembered_removal) THEN 'retired'
    WHEN parent_id IS NOT NULL AND NOT EXISTS (
        FROM recipe WHERE recipe.name = version.recipe AND recipe.recorded_at < version.removed_at) THEN 'recipe'
    WHEN parent_id IS NOT NULL AND NOT EXISTS (
        FROM state.raster AS source JOIN parent USING (raster_id, sha256, crs)
        WHERE source.raster_id = version.parent_id
          AND source.valid_from <= version.position AND source.valid_to > version.position) THEN 'parent'
    END AS problem
FROM version;
