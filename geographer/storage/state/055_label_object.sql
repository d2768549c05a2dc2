-- 055_label_object.sql: which objects each label of a raster lists, as of each position
UPDATE state.label_object SET valid_to = change.position
FROM (SELECT label, raster_id, feature_id, min(position) AS position FROM log.label_object_change
      WHERE position > $after AND position <= $up_to AND change <> 'added' GROUP BY ALL) AS change
WHERE label_object.label = change.label AND label_object.raster_id = change.raster_id
  AND label_object.feature_id = change.feature_id AND valid_to = open_end();

INSERT INTO state.label_object BY NAME
SELECT label, raster_id, feature_id, class, instance, pixels, box::JSON::DOUBLE[] AS box,
       corners::JSON::DOUBLE[][] AS corners, visible::DOUBLE AS visible, row_digest, position AS valid_from,
       until AS valid_to
FROM (SELECT *, coalesce(lead(position) OVER (PARTITION BY label, raster_id, feature_id ORDER BY position), open_end()) AS until
      FROM log.label_object_change WHERE position > $after AND position <= $up_to)
WHERE change <> 'removed'
ORDER BY position, ordinal;
