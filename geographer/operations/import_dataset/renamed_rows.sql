-- renamed_rows.sql: rows of the source dataset under the ids, names and paths that they get in this dataset
-- needs: source_feature, source_raster, source_reference, source_removal, source_label, source_object, source_object_order,
--   source_input; variables: prefix (of ids), renames (recipes and collections: old to new), cut_recipes (their names) ·
-- makes: macros rename_name, rename_raster; temp views renamed_feature, renamed_raster, renamed_removal, renamed_label,
--   renamed_object, renamed_object_order, renamed_input
CREATE OR REPLACE TEMP MACRO rename_name(name) AS coalesce(getvariable('renames')[name], name);

-- The id of a chip is recipe/stem. Ids of other rasters may contain a slash, but do not begin with a recipe's name.
CREATE OR REPLACE TEMP MACRO rename_raster(id) AS CASE
    WHEN contains(id, '/') AND list_contains(getvariable('cut_recipes'), split_part(id, '/', 1))
    THEN rename_name(split_part(id, '/', 1)) || '/' || getvariable('prefix') || id[len(split_part(id, '/', 1)) + 2 :]
    ELSE getvariable('prefix') || id END;

CREATE OR REPLACE TEMP VIEW renamed_feature AS
SELECT * REPLACE (getvariable('prefix') || feature_id AS feature_id,
                  id_is_integer AND getvariable('prefix') = '' AS id_is_integer)
FROM source_feature;

CREATE OR REPLACE TEMP VIEW renamed_raster AS
SELECT * EXCLUDE (reference_path, recorded_path) REPLACE (
    rename_raster(raster_id) AS raster_id,
    rename_raster(parent_id) AS parent_id,
    rename_name(collection) AS collection,
    rename_name(recipe) AS recipe,
    getvariable('prefix') || feature_id AS feature_id,
    CASE WHEN storage = 'dvc'
         THEN concat_ws('/', 'rasters', rename_name(collection), getvariable('prefix') || parse_filename(path))
         ELSE coalesce(recorded_path, path) END AS path), path AS source_path
FROM source_raster LEFT JOIN (SELECT path AS reference_path, recorded_path FROM source_reference)
ON storage = 'reference' AND reference_path = path;

CREATE OR REPLACE TEMP VIEW renamed_removal AS
SELECT rename_raster(raster_id) AS raster_id, rename_raster(parent_id) AS parent_id, rename_name(recipe) AS recipe FROM source_removal;

CREATE OR REPLACE TEMP VIEW renamed_label AS
SELECT rename_name(label) AS label, rename_raster(raster_id) AS raster_id, size, md5, sha256, pixel_digest,
       path AS source_path, label AS source_label, raster_id AS source_raster_id,
       concat_ws('/', 'labels', rename_name(label), rename_name(split_part(path, '/', 3)),
                 getvariable('prefix') || parse_filename(path)) AS path,
       is_up_to_date, west, south, east, north, lon_shift, by_order, by_name
FROM source_label;

CREATE OR REPLACE TEMP VIEW renamed_object AS
SELECT * REPLACE (rename_name(label) AS label, rename_raster(raster_id) AS raster_id,
                  getvariable('prefix') || feature_id AS feature_id)
FROM source_object;

CREATE OR REPLACE TEMP VIEW renamed_object_order AS
SELECT * REPLACE (rename_name(label) AS label, rename_raster(raster_id) AS raster_id,
                  getvariable('prefix') || feature_id AS feature_id)
FROM source_object_order;

-- Ids of boxes do not get the prefix.
CREATE OR REPLACE TEMP VIEW renamed_input AS
SELECT * REPLACE (rename_name(recipe) AS recipe,
                  CASE subject WHEN 'raster' THEN rename_raster(object_id)
                               WHEN 'feature' THEN getvariable('prefix') || object_id ELSE object_id END AS object_id)
FROM source_input;
