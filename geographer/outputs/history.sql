-- history.sql: the events that touched the feature or raster $id, with what each changed, oldest first
-- needs: log.event and its row tables, $id ·
-- makes: one result: position, kind, recorded_at, author, message, object, change, detail
SELECT position, kind, recorded_at::TIMESTAMP AS recorded_at, author, message, object, change, detail
FROM (
    SELECT position, ordinal, 'feature' AS object, change, class AS detail FROM log.feature_change WHERE feature_id = $id
    UNION ALL
    SELECT position, ordinal, 'raster', change, path FROM log.raster_change WHERE raster_id = $id
    UNION ALL
    SELECT position, ordinal, 'chip of it', change, raster_id FROM log.raster_change WHERE parent_id = $id
    UNION ALL
    SELECT position, ordinal, 'chip around it', change, raster_id FROM log.raster_change WHERE feature_id = $id
    UNION ALL
    SELECT position, ordinal, 'label', change, label FROM log.label_change WHERE raster_id = $id
    UNION ALL
    SELECT position, ordinal, 'split', change, split || '/' || coalesce(part, '(left out)')
    FROM log.split_change WHERE raster_id = $id
) JOIN log.event USING (position)
ORDER BY position, object, ordinal;
