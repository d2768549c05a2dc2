-- source_objects.sql: objects on the labels of a source dataset, as the log records them
-- needs: log.label_object_change, current_label_object ·
-- makes: one result: label, raster_id, feature_id, class, instance, pixels, box, corners, visible
SELECT change.label, change.raster_id, change.feature_id, change.class, instance, pixels, box, corners, visible
FROM log.label_object_change AS change
SEMI JOIN (SELECT label, raster_id, feature_id, valid_from AS position FROM current_label_object)
USING (label, raster_id, feature_id, position)
ORDER BY label, raster_id, feature_id;
