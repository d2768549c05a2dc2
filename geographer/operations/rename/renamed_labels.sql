-- renamed_labels.sql: the labels of the recipe $recipe with their objects, and the assignments of that split, under the name $name
-- needs: chain_label_object_change, current_label, current_label_object, current_split, $recipe, $name ·
-- makes: temp tables renamed_label_row, relabelled_object_row, renamed_split_row
CREATE OR REPLACE TEMP TABLE renamed_label_row AS
SELECT 'removed' AS change, label, raster_id, NULL AS path, NULL AS size, NULL AS md5, NULL AS sha256, NULL AS pixel_digest
FROM current_label WHERE label = $recipe
UNION ALL
SELECT 'added', $name, raster_id,
       concat_ws('/', 'labels', $name, split_part(path, '/', 3), parse_filename(path, false, 'forward_slash')), size, md5, sha256,
       pixel_digest
FROM current_label WHERE label = $recipe
ORDER BY change DESC, raster_id;

CREATE OR REPLACE TEMP TABLE relabelled_object_row AS
SELECT 'removed' AS change, label, raster_id, feature_id, NULL AS class, NULL AS instance, NULL AS pixels, NULL AS box, NULL AS corners,
       NULL AS visible
FROM current_label_object WHERE label = $recipe
UNION ALL
SELECT 'added', $name, raster_id, feature_id, object.class, object.instance, object.pixels, object.box, object.corners, object.visible
FROM chain_label_object_change AS object
SEMI JOIN (SELECT label, raster_id, feature_id, valid_from AS position FROM current_label_object WHERE label = $recipe)
USING (label, raster_id, feature_id, position)
ORDER BY change DESC, raster_id, feature_id;

CREATE OR REPLACE TEMP TABLE renamed_split_row AS
SELECT 'removed' AS change, split, raster_id, NULL AS part FROM current_split WHERE split = $recipe
UNION ALL
SELECT 'added', $name, raster_id, part FROM current_split WHERE split = $recipe
ORDER BY change DESC, raster_id;
