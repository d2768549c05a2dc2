-- renumbered_masks.sql: the labels of files $labels that a side added to rasters of $collections, and that the result has from there, where
--   a class of $classes has another value than in the result, where its value is that of $values
-- needs: version_class_change, log.class_change, version_label_group, decision_label_group, log.raster_change, $classes, $values, $labels,
-- $collections · makes: one result: class, value (on that side), new_value, label, side, raster_id
WITH renumbered AS (
    SELECT unnest($classes::VARCHAR[]) AS class, unnest($values::BIGINT[]) AS new_value
), own AS (
    SELECT unnest($labels::VARCHAR[]) AS label, unnest($collections::VARCHAR[]) AS collection
), old_value AS (
    SELECT class, side, value, new_value FROM version_class_change JOIN renumbered USING (class)
    JOIN (SELECT event_key, class, value FROM log.class_change) USING (event_key, class)
    WHERE side IN ('first', 'second') AND value <> new_value
)
SELECT DISTINCT class, value, new_value, label, side, raster_id
FROM version_label_group AS version JOIN own USING (label) JOIN decision_label_group USING (label, raster_id) JOIN old_value USING (side)
SEMI JOIN (SELECT raster_id, collection FROM log.raster_change) AS raster USING (raster_id, collection)
ANTI JOIN (SELECT label, raster_id, row_digest FROM version_label_group WHERE starts_with(side, 'base')) AS base
    USING (label, raster_id, row_digest)
WHERE chosen = side
ORDER BY ALL;
