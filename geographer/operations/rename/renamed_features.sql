-- renamed_features.sql: features of the class $old_name, and features with a probability of it, with its name $new_name; objects of that
--   class on the labels $kept_labels, which stay as they are
-- needs: chain_feature_change, chain_label_object_change, current_feature, current_label_object, $old_name, $new_name, $kept_labels,
--   $old_path (JSON path of the column $old_column), $new_column · makes: temp tables renamed_feature_row, reclassed_object_row
CREATE OR REPLACE TEMP TABLE renamed_feature_row AS
SELECT 'changed' AS change, feature.* EXCLUDE (position, ordinal, change, row_digest) REPLACE (
           CASE WHEN class = $old_name THEN $new_name ELSE class END AS class,
           -- A null removes the column.
           CASE WHEN json_exists(properties, $old_path)
                THEN json_merge_patch(properties, json_object($old_column, NULL, $new_column, properties->$old_path))::VARCHAR
                ELSE properties END AS properties)
FROM chain_feature_change AS feature JOIN (SELECT feature_key FROM current_feature)
ON position = feature_key >> 32 AND ordinal = feature_key & 4294967295
WHERE class = $old_name OR json_exists(properties, $old_path)
ORDER BY feature_id;

CREATE OR REPLACE TEMP TABLE reclassed_object_row AS
SELECT 'changed' AS change, object.* EXCLUDE (position, ordinal, change, row_digest) REPLACE ($new_name AS class)
FROM chain_label_object_change AS object
SEMI JOIN (
    SELECT label, raster_id, feature_id, valid_from AS position FROM current_label_object
    WHERE class = $old_name AND list_contains($kept_labels::VARCHAR[], label)
) USING (label, raster_id, feature_id, position)
ORDER BY label, raster_id, feature_id;
