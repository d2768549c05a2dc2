-- logged_content.sql: the lines of the content digest at a position, from the rows of the log rather than from the state
-- needs: views of the chain, variable position · makes: views content_change, content_line
CREATE OR REPLACE TEMP VIEW content_change AS
SELECT 'class' AS subject, class AS name, '' AS raster_id, '' AS feature_id, position, ordinal, change, row_digest
FROM chain_class_change
UNION ALL SELECT 'feature', '', '', feature_id, position, ordinal, change, row_digest FROM chain_feature_change
UNION ALL SELECT 'raster', '', raster_id, '', position, ordinal, change, row_digest FROM chain_raster_change
UNION ALL SELECT 'label', label, raster_id, '', position, ordinal, change, row_digest FROM chain_label_change
UNION ALL SELECT 'label_object', label, raster_id, feature_id, position, ordinal, change, row_digest
FROM chain_label_object_change
UNION ALL SELECT 'split', split, raster_id, '', position, ordinal, change, row_digest FROM chain_split_change;

CREATE OR REPLACE TEMP VIEW content_line AS
SELECT subject || ' ' || row_digest AS line
FROM (SELECT subject, arg_max_null(if(change = 'removed', NULL, row_digest), (position << 32) + ordinal) AS row_digest
      FROM content_change
      WHERE position <= getvariable('position') AND name IS NOT NULL AND raster_id IS NOT NULL AND feature_id IS NOT NULL
      GROUP BY subject, name, raster_id, feature_id)
WHERE row_digest IS NOT NULL;
