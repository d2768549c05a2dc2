-- source_rows.sql: what a source dataset has, or what belongs to the collection in the variable source_collection: features and rasters as in the log, with `order_index`, the order of addition,
--   `source_id` and `source_digest`, which stay if they are renamed; rasters of recipes that users removed;
--   labels, those that are up to date with their dependencies; objects on labels as in the log; boxes of recipes, and what
--   their selectors selected last; the parts of rasters. Rasters of one collection have no parents: those are not in it
-- needs: current_feature, current_raster, current_label, current_label_object, feature_order, raster_order, selected_input,
--   the views of the chain, up_to_date_label (see UpToDateLabels.labels), state.raster, recipe_name, recipe_since,
--   remembered_removal, variables position and source_collection (null: everything) ·
-- makes: macros is_wanted, unless_extracted, temp views wanted_raster, source_feature, source_raster, source_removal, source_label, source_object, source_input, source_split
CREATE OR REPLACE TEMP MACRO is_wanted(collection) AS
    getvariable('source_collection') IS NULL OR collection = getvariable('source_collection');

CREATE OR REPLACE TEMP MACRO unless_extracted(value) AS CASE WHEN getvariable('source_collection') IS NULL THEN value END;

CREATE OR REPLACE TEMP VIEW wanted_raster AS SELECT raster_key, raster_id FROM current_raster WHERE is_wanted(collection);

CREATE OR REPLACE TEMP VIEW source_feature AS
SELECT change.* EXCLUDE (change, position, ordinal, row_digest), row_number() OVER (ORDER BY added, added_by, feature_id) AS order_index,
       feature_id AS source_id, row_digest AS source_digest
FROM chain_feature_change AS change JOIN (SELECT feature_key FROM current_feature)
     ON position = feature_key >> 32 AND ordinal = feature_key & 4294967295
JOIN feature_order USING (feature_id)
WHERE getvariable('source_collection') IS NULL
   OR (position << 32) + ordinal IN (SELECT feature_key FROM current_edge SEMI JOIN wanted_raster USING (raster_key))
ORDER BY order_index;

CREATE OR REPLACE TEMP VIEW source_raster AS
SELECT change.* EXCLUDE (change, position, ordinal, row_digest) REPLACE (
           unless_extracted(parent_id) AS parent_id, unless_extracted(col) AS col, unless_extracted("row") AS "row",
           unless_extracted(recipe) AS recipe, unless_extracted(feature_id) AS feature_id),
       row_number() OVER (ORDER BY added, added_by, raster_id) AS order_index,
       raster_id AS source_id, row_digest AS source_digest
FROM chain_raster_change AS change JOIN (SELECT raster_key FROM wanted_raster)
     ON position = raster_key >> 32 AND ordinal = raster_key & 4294967295
JOIN raster_order USING (raster_id) ORDER BY order_index;

CREATE OR REPLACE TEMP VIEW source_removal AS
SELECT raster_id, parent_id, recipe_name.recipe
FROM state.raster AS raster JOIN remembered_removal USING (raster_id)
JOIN recipe_name ON recipe_name.name = raster.recipe AND removed_at < until JOIN recipe_since ON recipe_since.recipe = recipe_name.recipe
WHERE valid_to = removed_at AND removed_at >= recorded_at AND getvariable('source_collection') IS NULL
ORDER BY raster_id;

CREATE OR REPLACE TEMP VIEW source_label AS
SELECT label, raster_id, path, size, md5, sha256, pixel_digest, by_order IS NOT NULL AS is_up_to_date, west, south, east, north,
       lon_shift, by_order, by_name
FROM current_label SEMI JOIN wanted_raster USING (raster_id) LEFT JOIN up_to_date_label USING (label, raster_id)
ORDER BY label, raster_id;

CREATE OR REPLACE TEMP VIEW source_object AS
SELECT change.label, change.raster_id, change.feature_id, change.class, instance, pixels, box, corners, visible
FROM chain_label_object_change AS change
SEMI JOIN (SELECT label, raster_id, feature_id, valid_from AS position FROM current_label_object)
USING (label, raster_id, feature_id, position)
SEMI JOIN wanted_raster USING (raster_id)
ORDER BY label, raster_id, feature_id;

CREATE OR REPLACE TEMP VIEW source_input AS
SELECT recipe, subject, object_id, geometry, crs, ordinal AS order_index
FROM chain_recipe_input WHERE subject = 'box' AND position <= getvariable('position')
QUALIFY position = max(position) OVER (PARTITION BY recipe)
UNION ALL
SELECT DISTINCT recipe, subject, object_id, NULL::BLOB, NULL::VARCHAR, 0 FROM selected_input
ORDER BY recipe, subject, order_index, object_id;

CREATE OR REPLACE TEMP VIEW source_split AS
SELECT split, raster_id, part FROM current_split SEMI JOIN wanted_raster USING (raster_id) ORDER BY split, raster_id;
