-- incoming_rows.sql: how would the rows of another dataset (the relations their_*) stand here, under their new ids and names?
-- Of the variables: `prefix` stands before ids, `renames` maps names of recipes and collections, `cuts` are the names of
-- their cut recipes, `root` is their folder.
CREATE OR REPLACE TEMP MACRO renamed(name) AS coalesce(getvariable('renames')[name], name);

-- A chip is called recipe/stem; other rasters may have a slash in their ids, but not after a recipe's name.
CREATE OR REPLACE TEMP MACRO raster_called(id) AS CASE
    WHEN contains(id, '/') AND list_contains(getvariable('cuts'), split_part(id, '/', 1))
    THEN renamed(split_part(id, '/', 1)) || '/' || getvariable('prefix') || id[len(split_part(id, '/', 1)) + 2 :]
    ELSE getvariable('prefix') || id END;

CREATE OR REPLACE TEMP VIEW moved_feature AS
SELECT * REPLACE (getvariable('prefix') || feature_id AS feature_id,
                  id_is_integer AND getvariable('prefix') = '' AS id_is_integer)
FROM their_feature;

CREATE OR REPLACE TEMP VIEW moved_raster AS
SELECT * REPLACE (
    raster_called(raster_id) AS raster_id,
    raster_called(parent_id) AS parent_id,
    renamed(collection) AS collection,
    renamed(recipe) AS recipe,
    getvariable('prefix') || feature_id AS feature_id,
    CASE WHEN storage = 'dvc' THEN concat_ws('/', 'rasters', renamed(collection), getvariable('prefix') || parse_filename(path))
         WHEN storage = 'reference' AND NOT starts_with(path, '/') THEN getvariable('root') || '/' || path
         ELSE path END AS path), path AS their_path
FROM their_raster;

CREATE OR REPLACE TEMP VIEW moved_label AS
SELECT renamed(label) AS label, raster_called(raster_id) AS raster_id, size, md5, sha256, pixel_digest, path AS their_path,
       label AS their_label, raster_id AS their_raster_id,
       concat_ws('/', 'labels', renamed(label), renamed(split_part(path, '/', 3)),
                 getvariable('prefix') || parse_filename(path)) AS path,
       stands, west, south, east, north, turn, by_order, by_name
FROM their_label;

CREATE OR REPLACE TEMP VIEW moved_object AS
SELECT * REPLACE (renamed(label) AS label, raster_called(raster_id) AS raster_id,
                  getvariable('prefix') || feature_id AS feature_id)
FROM their_object;

CREATE OR REPLACE TEMP VIEW moved_object_shown AS
SELECT * REPLACE (renamed(label) AS label, raster_called(raster_id) AS raster_id,
                  getvariable('prefix') || feature_id AS feature_id)
FROM their_shown;

-- Boxes keep their ids: those of features and rasters go through the prefix.
CREATE OR REPLACE TEMP VIEW moved_input AS
SELECT * REPLACE (renamed(recipe) AS recipe,
                  CASE subject WHEN 'raster' THEN raster_called(object_id)
                               WHEN 'feature' THEN getvariable('prefix') || object_id ELSE object_id END AS object_id)
FROM their_input;
