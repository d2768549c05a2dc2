-- lost_labels.sql: the labels of files $labels, which the sides $sides added or changed since the bases and the result has not; without
--   those of absent rasters, and those of chips, which follow from their rasters in $collections
-- needs: version_label_group, decision_label_group, absent_raster, log.raster_change, $labels, $sides, $collections · makes: one result:
-- label, side, raster_id
WITH own AS (
    SELECT unnest($labels::VARCHAR[]) AS label, unnest($sides::VARCHAR[]) AS side, unnest($collections::VARCHAR[]) AS collection
)
SELECT label, side, raster_id
FROM version_label_group AS version JOIN own USING (label, side) JOIN decision_label_group USING (label, raster_id)
SEMI JOIN (SELECT raster_id, collection FROM log.raster_change) AS raster USING (raster_id, collection)
ANTI JOIN absent_raster USING (raster_id)
ANTI JOIN (SELECT label, raster_id, row_digest FROM version_label_group WHERE starts_with(side, 'base')) AS base
    USING (label, raster_id, row_digest)
WHERE chosen <> side AND first_digest IS DISTINCT FROM second_digest
ORDER BY ALL;
