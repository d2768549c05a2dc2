-- other_objects.sql: what the labels of a dataset list, as the log has it
SELECT change.label, change.raster_id, change.feature_id, change.class, instance, pixels, box, corners, visible
FROM log.label_object_change AS change
SEMI JOIN (SELECT label, raster_id, feature_id, valid_from AS position FROM label_object_now)
USING (label, raster_id, feature_id, position)
ORDER BY label, raster_id, feature_id;
