-- raster_facts.sql: the raster $id: collection, source and window of a chip, features, chips, labels, parts of splits
-- needs: current_raster, current_edge, current_label, current_split, $id
-- · makes: one result: collection, storage, parent_id, feature_id, recipe, properties, window, contained, intersected, cuts, labels, splits
WITH raster AS (
    SELECT * FROM current_raster WHERE raster_id = $id
), edge AS (
    SELECT contains FROM current_edge SEMI JOIN raster USING (raster_key)
), cut AS (
    SELECT recipe, count(*) AS chips FROM current_raster WHERE parent_id = $id GROUP BY recipe
)
SELECT collection, storage, parent_id, feature_id, recipe, properties,
       {'col': col, 'row': "row", 'width': width, 'height': height} AS "window",
       (SELECT count(*) FROM edge WHERE contains) AS contained, (SELECT count(*) FROM edge WHERE NOT contains) AS intersected,
       (SELECT coalesce(list({'recipe': recipe, 'chips': chips} ORDER BY recipe), []) FROM cut) AS cuts,
       (SELECT coalesce(list({'label': label, 'position': valid_from} ORDER BY label), []) FROM current_label WHERE raster_id = $id) AS labels,
       (SELECT coalesce(list({'split': split, 'part': part, 'position': valid_from} ORDER BY split), [])
        FROM current_split WHERE raster_id = $id) AS splits
FROM raster;
