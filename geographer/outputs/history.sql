-- history.sql: the events that touched the feature or raster $id, with what each changed, oldest first
-- needs: chain_event and the views of row tables, $id ·
-- makes: one result: position, kind, recorded_at, author, message, object, change, detail
SELECT position, kind, recorded_at::TIMESTAMP AS recorded_at, author, message, object, change, detail
FROM (
    SELECT position, ordinal, 'feature' AS object, change, class AS detail FROM chain_feature_change WHERE feature_id = $id
    UNION ALL SELECT position, ordinal, 'raster', change, path FROM chain_raster_change WHERE raster_id = $id
    UNION ALL SELECT position, ordinal, 'chip of it', change, raster_id FROM chain_raster_change WHERE parent_id = $id
    UNION ALL SELECT position, ordinal, 'chip around it', change, raster_id FROM chain_raster_change WHERE feature_id = $id
    UNION ALL SELECT position, ordinal, 'label', change, label FROM chain_label_change WHERE raster_id = $id
    UNION ALL SELECT position, ordinal, 'split', change, split || '/' || coalesce(part, '(left out)')
    FROM chain_split_change WHERE raster_id = $id
) JOIN chain_event USING (position)
ORDER BY position, object, ordinal;
