-- vanished_classes.sql: classes of which a subset of a split shows features at $old, and none at $new
-- needs: changed_feature, changed_raster, changed_edge, changed_split, state.edge, state.feature, state.raster, state.split, state.renaming,
--   $old, $new ·
-- makes: one result: split, part, class, features (at $old), position (the last event that changed one of them)
WITH shown AS (
    SELECT moment, split, part, class, feature_id
    FROM (SELECT unnest([$old, $new]) AS moment) AS side
    JOIN state.split AS split ON split.valid_from <= moment AND split.valid_to > moment AND part IS NOT NULL
    JOIN (SELECT raster_id, raster_key, valid_from, valid_to FROM state.raster) AS raster USING (raster_id)
    JOIN state.edge AS edge USING (raster_key)
    JOIN (SELECT feature_key, feature_id, class FROM state.feature) USING (feature_key)
    WHERE raster.valid_from <= moment AND raster.valid_to > moment AND edge.valid_from <= moment AND edge.valid_to > moment
), old_class AS (
    SELECT split, part, class, count(DISTINCT feature_id) AS features, list(DISTINCT feature_id) AS feature_ids
    FROM shown WHERE moment = $old GROUP BY ALL
), event AS (
    SELECT max(position) AS position FROM (
        SELECT position FROM changed_feature UNION ALL SELECT position FROM changed_raster
        UNION ALL SELECT position FROM changed_edge UNION ALL SELECT position FROM changed_split)
)
SELECT split, part, class, features,
       coalesce((SELECT max(position) FROM changed_feature WHERE list_contains(feature_ids, feature_id)), event.position) AS position
FROM old_class, event
WHERE (split, part, class) NOT IN (SELECT (split, part, class) FROM shown WHERE moment = $new)
  AND class NOT IN (
      SELECT unnest([old_name, name]) FROM state.renaming
      WHERE subject = 'class' AND position > least($old, $new) AND position <= greatest($old, $new))
  -- A subset that has no rasters any more has lost all classes: its rasters are listed.
  AND (split, part) IN (SELECT (split, part) FROM shown WHERE moment = $new)
ORDER BY split, part, class;
