-- renamed_rasters.sql: rasters of the collection $collection, and those of the recipe $recipe, with a new name as collection (of stored
--   files as folder, too) and as recipe
-- needs: chain_raster_change, current_raster, $collection, $recipe (either may be null), $name · makes: temp table renamed_raster_row
CREATE OR REPLACE TEMP TABLE renamed_raster_row AS
WITH version AS (
    SELECT raster_key, coalesce(collection = $collection, false) AS has_collection FROM current_raster
    WHERE collection = $collection OR recipe = $recipe
)
SELECT 'changed' AS change, raster.* EXCLUDE (position, ordinal, change, row_digest) REPLACE (
           CASE WHEN has_collection THEN $name ELSE collection END AS collection,
           CASE WHEN has_collection AND storage = 'dvc'
                THEN concat_ws('/', 'rasters', $name, parse_filename(path, false, 'forward_slash')) ELSE path END AS path,
           CASE WHEN recipe = $recipe THEN $name ELSE recipe END AS recipe)
FROM chain_raster_change AS raster JOIN version ON position = raster_key >> 32 AND ordinal = raster_key & 4294967295
ORDER BY raster_id;
