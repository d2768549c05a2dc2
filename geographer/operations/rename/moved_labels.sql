-- moved_labels.sql: the labels of the collection $collection, in the folder of its new name $name
-- needs: current_label, $collection, $name · makes: temp table moved_label_row
CREATE OR REPLACE TEMP TABLE moved_label_row AS
SELECT 'changed' AS change, label, raster_id,
       concat_ws('/', 'labels', label, $name, parse_filename(path, false, 'forward_slash')) AS path, size, md5, sha256, pixel_digest
FROM current_label WHERE starts_with(path, 'labels/' || label || '/' || $collection || '/')
ORDER BY label, raster_id;
