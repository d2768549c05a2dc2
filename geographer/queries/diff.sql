-- diff.sql: what was added, removed or changed (what, from, to) between the revisions at $a and $b
WITH class_pair AS (
    SELECT class AS id, x.row_digest AS was, y.row_digest AS became, x.value AS old_value, y.value AS new_value
    FROM (FROM state.class WHERE valid_from <= $a AND valid_to > $a) AS x
    FULL JOIN (FROM state.class WHERE valid_from <= $b AND valid_to > $b) AS y USING (class)
), feature_pair AS (
    SELECT feature_id AS id, x.row_digest AS was, y.row_digest AS became,
           [('class', x.class, y.class), ('geometry', ST_AsText(x.geometry), ST_AsText(y.geometry)),
            ('crs', x.crs, y.crs), ('properties', x.properties, y.properties)] AS columns
    FROM (FROM state.feature WHERE valid_from <= $a AND valid_to > $a) AS x
    FULL JOIN (FROM state.feature WHERE valid_from <= $b AND valid_to > $b) AS y USING (feature_id)
    WHERE x.feature_key IS DISTINCT FROM y.feature_key AND x.row_digest IS DISTINCT FROM y.row_digest
), raster_pair AS (
    SELECT raster_id AS id, x.row_digest AS was, y.row_digest AS became,
           [('collection', x.collection, y.collection), ('path', x.path, y.path), ('crs', x.crs, y.crs),
            ('width', x.width::VARCHAR, y.width::VARCHAR), ('height', x.height::VARCHAR, y.height::VARCHAR),
            ('transform', x.transform::VARCHAR, y.transform::VARCHAR), ('md5', x.md5, y.md5),
            ('sha256', x.sha256, y.sha256), ('pixel_digest', x.pixel_digest, y.pixel_digest),
            ('outline', ST_AsText(x.outline), ST_AsText(y.outline)), ('acquired', x.acquired::VARCHAR, y.acquired::VARCHAR),
            ('parent_id', x.parent_id, y.parent_id), ('col', x.col::VARCHAR, y.col::VARCHAR),
            ('row', x."row"::VARCHAR, y."row"::VARCHAR), ('properties', x.properties, y.properties)] AS columns
    FROM (FROM state.raster WHERE valid_from <= $a AND valid_to > $a) AS x
    FULL JOIN (FROM state.raster WHERE valid_from <= $b AND valid_to > $b) AS y USING (raster_id)
    WHERE x.raster_key IS DISTINCT FROM y.raster_key AND x.row_digest IS DISTINCT FROM y.row_digest
), label_pair AS (
    SELECT label || '/' || raster_id AS id, x.row_digest AS was, y.row_digest AS became,
           [('path', x.path, y.path), ('md5', x.md5, y.md5), ('sha256', x.sha256, y.sha256),
            ('pixel_digest', x.pixel_digest, y.pixel_digest)] AS columns
    FROM (FROM state.label WHERE valid_from <= $a AND valid_to > $a) AS x
    FULL JOIN (FROM state.label WHERE valid_from <= $b AND valid_to > $b) AS y USING (label, raster_id)
    WHERE x.row_digest IS DISTINCT FROM y.row_digest
), split_pair AS (
    SELECT split || '/' || raster_id AS id, x.row_digest AS was, y.row_digest AS became,
           [('part', x.part, y.part)] AS columns
    FROM (FROM state.split WHERE valid_from <= $a AND valid_to > $a) AS x
    FULL JOIN (FROM state.split WHERE valid_from <= $b AND valid_to > $b) AS y USING (split, raster_id)
    WHERE x.row_digest IS DISTINCT FROM y.row_digest
), edge_ended AS (
    -- Only edges that stand at one of the two positions and not at the other can differ.
    SELECT feature_key, raster_key, contains,
           valid_from <= $a AND valid_to > $a AS at_a, valid_from <= $b AND valid_to > $b AS at_b
    FROM state.edge
    WHERE (valid_from <= $a AND valid_to > $a) <> (valid_from <= $b AND valid_to > $b)
), edge_named AS (
    SELECT feature_id || ' – ' || raster_id AS id, if(contains, 'contains', 'intersects') AS relation, at_a
    FROM edge_ended JOIN (SELECT feature_key, feature_id FROM state.feature) USING (feature_key)
    JOIN (SELECT raster_key, raster_id FROM state.raster) USING (raster_key)
), edge_pair AS (
    SELECT id, x.relation AS was, y.relation AS became, [('relation', x.relation, y.relation)] AS columns
    FROM (FROM edge_named WHERE at_a) AS x FULL JOIN (FROM edge_named WHERE NOT at_a) AS y USING (id)
    WHERE x.relation IS DISTINCT FROM y.relation
), pair AS (
    SELECT 1 AS sort, 'class' AS object, id, was, became, [('value', old_value::VARCHAR, new_value::VARCHAR)] AS columns
    FROM class_pair WHERE was IS DISTINCT FROM became
    UNION ALL SELECT 2, 'feature', * FROM feature_pair
    UNION ALL SELECT 3, 'raster', * FROM raster_pair
    UNION ALL SELECT 4, 'edge', * FROM edge_pair
    UNION ALL SELECT 5, 'label', * FROM label_pair
    UNION ALL SELECT 6, 'split', * FROM split_pair
), told AS (
    SELECT sort, object, id, if(was IS NULL, 'added', if(became IS NULL, 'removed', 'changed')) AS change,
           CASE WHEN object IN ('edge', 'split') OR (was IS NOT NULL AND became IS NOT NULL) THEN
                list_filter(columns, lambda c: c[2] IS DISTINCT FROM c[3]) END AS columns
    FROM pair
)
SELECT object, id, change, c[1] AS what, c[2] AS "from", c[3] AS "to"
FROM (SELECT sort, object, id, change, unnest(coalesce(columns, [(NULL, NULL, NULL)])) AS c FROM told)
ORDER BY sort, change, id, what;
