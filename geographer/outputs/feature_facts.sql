-- feature_facts.sql: the class of the feature $id, how many rasters show it, the chips cut for it, and the labels of rasters with it
-- needs: current_feature, current_raster, current_edge, current_label, $id
-- · makes: one result: class, contained_by, intersected_by, chips, labels (at most one row)
WITH feature AS (
    SELECT feature_key, class FROM current_feature WHERE feature_id = $id
), edge AS (
    SELECT raster_key, contains FROM current_edge SEMI JOIN feature USING (feature_key)
), label AS (
    SELECT label, count(*) AS rasters
    FROM current_label SEMI JOIN (SELECT raster_id FROM current_raster SEMI JOIN edge USING (raster_key)) USING (raster_id)
    GROUP BY label
)
SELECT class, (SELECT count(*) FROM edge WHERE contains) AS contained_by, (SELECT count(*) FROM edge WHERE NOT contains) AS intersected_by,
       (SELECT coalesce(list(raster_id ORDER BY raster_id), []) FROM current_raster WHERE feature_id = $id) AS chips,
       (SELECT coalesce(list({'label': label, 'rasters': rasters} ORDER BY label), []) FROM label) AS labels
FROM feature;
