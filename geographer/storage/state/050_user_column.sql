-- 050_user_column.sql: the user columns that events add, change or drop, with their types
-- needs: log.event, $after, $up_to · makes: rows of state.user_column
-- A null type means that the column was dropped.
INSERT INTO state.user_column
SELECT 'feature', entry.key, entry.value->>'$', entry.rowid, position
FROM log.event, json_each(payload, if(kind IN ('features_added', 'classes_remapped'), '$.columns', '$.columns.feature')) AS entry
WHERE kind IN ('features_added', 'classes_remapped', 'geographer_imported', 'dataset_imported')
  AND position > $after AND position <= $up_to;

INSERT INTO state.user_column
SELECT 'raster', entry.key, entry.value->>'$', entry.rowid, position
FROM log.event, json_each(payload, if(ends_with(kind, '_imported'), '$.columns.raster', '$.columns')) AS entry
WHERE kind IN ('rasters_added', 'rasters_downloaded', 'catalogue_added', 'geographer_imported', 'dataset_imported')
  AND position > $after AND position <= $up_to;
