-- diff.sql: what was added, removed or changed (what, from, to) between the revisions at $a and $b
WITH class_pair AS (
    SELECT class AS id, x.row_digest AS was, y.row_digest AS became, x.value AS old_value, y.value AS new_value
    FROM (FROM state.class WHERE valid_from <= $a AND valid_to > $a) AS x
    FULL JOIN (FROM state.class WHERE valid_from <= $b AND valid_to > $b) AS y USING (class)
), feature_pair AS (
    SELECT feature_id AS id, x.row_digest AS was, y.row_digest AS became,
           [{what: 'class', was: x.class, became: y.class}, {what: 'geometry', was: ST_AsText(x.geometry), became: ST_AsText(y.geometry)},
            {what: 'crs', was: x.crs, became: y.crs}, {what: 'properties', was: x.properties, became: y.properties}] AS columns
    FROM (FROM state.feature WHERE valid_from <= $a AND valid_to > $a) AS x
    FULL JOIN (FROM state.feature WHERE valid_from <= $b AND valid_to > $b) AS y USING (feature_id)
    WHERE x.feature_key IS DISTINCT FROM y.feature_key AND x.row_digest IS DISTINCT FROM y.row_digest
), raster_pair AS (
    SELECT raster_id AS id, x.row_digest AS was, y.row_digest AS became,
           [{what: 'collection', was: x.collection, became: y.collection}, {what: 'path', was: x.path, became: y.path}, {what: 'storage', was: x.storage, became: y.storage}, {what: 'crs', was: x.crs, became: y.crs},
            {what: 'bands', was: x.bands::VARCHAR, became: y.bands::VARCHAR}, {what: 'dtype', was: x.dtype, became: y.dtype}, {what: 'nodata', was: x.nodata::VARCHAR, became: y.nodata::VARCHAR},
            {what: 'width', was: x.width::VARCHAR, became: y.width::VARCHAR}, {what: 'height', was: x.height::VARCHAR, became: y.height::VARCHAR},
            {what: 'transform', was: x.transform::VARCHAR, became: y.transform::VARCHAR}, {what: 'md5', was: x.md5, became: y.md5},
            {what: 'sha256', was: x.sha256, became: y.sha256}, {what: 'pixel_digest', was: x.pixel_digest, became: y.pixel_digest},
            {what: 'outline', was: ST_AsText(x.outline), became: ST_AsText(y.outline)}, {what: 'acquired', was: x.acquired::VARCHAR, became: y.acquired::VARCHAR},
            {what: 'parent_id', was: x.parent_id, became: y.parent_id}, {what: 'col', was: x.col::VARCHAR, became: y.col::VARCHAR},
            {what: 'row', was: x."row"::VARCHAR, became: y."row"::VARCHAR}, {what: 'properties', was: x.properties, became: y.properties}] AS columns
    FROM (FROM state.raster WHERE valid_from <= $a AND valid_to > $a) AS x
    FULL JOIN (FROM state.raster WHERE valid_from <= $b AND valid_to > $b) AS y USING (raster_id)
    WHERE x.raster_key IS DISTINCT FROM y.raster_key AND x.row_digest IS DISTINCT FROM y.row_digest
), label_pair AS (
    SELECT label || '/' || raster_id AS id, x.row_digest AS was, y.row_digest AS became,
           [{what: 'path', was: x.path, became: y.path}, {what: 'md5', was: x.md5, became: y.md5}, {what: 'sha256', was: x.sha256, became: y.sha256},
            {what: 'pixel_digest', was: x.pixel_digest, became: y.pixel_digest}] AS columns
    FROM (FROM state.label WHERE valid_from <= $a AND valid_to > $a) AS x
    FULL JOIN (FROM state.label WHERE valid_from <= $b AND valid_to > $b) AS y USING (label, raster_id)
    WHERE x.row_digest IS DISTINCT FROM y.row_digest
), split_pair AS (
    SELECT split || '/' || raster_id AS id, x.row_digest AS was, y.row_digest AS became,
           [{what: 'part', was: x.part, became: y.part}] AS columns
    FROM (FROM state.split WHERE valid_from <= $a AND valid_to > $a) AS x
    FULL JOIN (FROM state.split WHERE valid_from <= $b AND valid_to > $b) AS y USING (split, raster_id)
    WHERE x.row_digest IS DISTINCT FROM y.row_digest
), label_object_pair AS (
    SELECT label || '/' || raster_id || '/' || feature_id AS id, x.row_digest AS was, y.row_digest AS became,
           [{what: 'class', was: x.class, became: y.class}, {what: 'instance', was: x.instance::VARCHAR, became: y.instance::VARCHAR},
            {what: 'pixels', was: x.pixels::VARCHAR, became: y.pixels::VARCHAR}, {what: 'box', was: x.box::VARCHAR, became: y.box::VARCHAR},
            {what: 'corners', was: x.corners::VARCHAR, became: y.corners::VARCHAR},
            {what: 'visible', was: x.visible::VARCHAR, became: y.visible::VARCHAR}] AS columns
    FROM (FROM state.label_object WHERE valid_from <= $a AND valid_to > $a) AS x
    FULL JOIN (FROM state.label_object WHERE valid_from <= $b AND valid_to > $b) AS y USING (label, raster_id, feature_id)
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
    SELECT id, x.relation AS was, y.relation AS became, [{what: 'relation', was: x.relation, became: y.relation}] AS columns
    FROM (FROM edge_named WHERE at_a) AS x FULL JOIN (FROM edge_named WHERE NOT at_a) AS y USING (id)
    WHERE x.relation IS DISTINCT FROM y.relation
), pair AS (
    SELECT 1 AS sort, 'class' AS object, id, was, became, [{what: 'value', was: old_value::VARCHAR, became: new_value::VARCHAR}] AS columns
    FROM class_pair WHERE was IS DISTINCT FROM became
    UNION ALL SELECT 2, 'feature', * FROM feature_pair
    UNION ALL SELECT 3, 'raster', * FROM raster_pair
    UNION ALL SELECT 4, 'edge', * FROM edge_pair
    UNION ALL SELECT 5, 'label', * FROM label_pair
    UNION ALL SELECT 6, 'label object', * FROM label_object_pair
    UNION ALL SELECT 7, 'split', * FROM split_pair
), told AS (
    SELECT sort, object, id, if(was IS NULL, 'added', if(became IS NULL, 'removed', 'changed')) AS change,
           CASE WHEN object IN ('edge', 'split') OR (was IS NOT NULL AND became IS NOT NULL) THEN
                list_filter(columns, lambda c: c.was IS DISTINCT FROM c.became) END AS columns
    FROM pair
)
SELECT object, id, change, c.what AS what, c.was AS "from", c.became AS "to"
FROM (SELECT sort, object, id, change, unnest(if(len(columns) > 0, columns, [{what: NULL, was: NULL, became: NULL}])) AS c FROM told)
ORDER BY sort, change, id, what;
