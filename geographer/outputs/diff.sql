-- diff.sql: the objects that were added, removed or changed between two revisions, with the values that changed
-- needs: tables of the state, $from_position, $to_position · makes: one result: object, id, change, what, from, to
WITH version AS (
    SELECT 1 AS sort, 'class' AS object, [class] AS keys, row_digest AS digest, valid_from, valid_to,
           MAP {'value': value::VARCHAR} AS values_by_name
    FROM state.class
    UNION ALL SELECT 2, 'feature', [feature_id], row_digest, valid_from, valid_to,
           MAP {'class': class, 'geometry': ST_AsText(geometry), 'crs': crs, 'properties': properties}
    FROM state.feature
    UNION ALL SELECT 3, 'raster', [raster_id], row_digest, valid_from, valid_to,
           MAP {'collection': collection, 'path': path, 'storage': storage, 'crs': crs, 'bands': bands::VARCHAR, 'dtype': dtype,
                'nodata': nodata::VARCHAR, 'width': width::VARCHAR, 'height': height::VARCHAR, 'transform': transform::VARCHAR,
                'md5': md5, 'sha256': sha256, 'pixel_digest': pixel_digest, 'outline': ST_AsText(outline),
                'acquired': acquired::VARCHAR, 'parent_id': parent_id, 'col': col::VARCHAR, 'row': "row"::VARCHAR,
                'properties': properties}
    FROM state.raster
    UNION ALL SELECT 4, 'edge', [feature_id, raster_id], if(contains, 'contains', 'intersects') AS relation, edge.valid_from, edge.valid_to,
           MAP {'relation': relation}
    FROM state.edge JOIN (SELECT feature_key, feature_id FROM state.feature) USING (feature_key)
    JOIN (SELECT raster_key, raster_id FROM state.raster) USING (raster_key)
    UNION ALL SELECT 5, 'label', [label, raster_id], row_digest, valid_from, valid_to,
           MAP {'path': path, 'md5': md5, 'sha256': sha256, 'pixel_digest': pixel_digest}
    FROM state.label
    UNION ALL SELECT 6, 'label object', [label, raster_id, feature_id], row_digest, valid_from, valid_to,
           MAP {'class': class, 'instance': instance::VARCHAR, 'pixels': pixels::VARCHAR, 'box': box::VARCHAR,
                'corners': corners::VARCHAR, 'visible': visible::VARCHAR}
    FROM state.label_object
    UNION ALL SELECT 7, 'split', [split, raster_id], row_digest, valid_from, valid_to, MAP {'part': part} FROM state.split
), differing_version AS (
    -- A version that is valid at both positions cannot differ.
    SELECT *, valid_from <= $from_position AND valid_to > $from_position AS is_old,
           valid_from <= $to_position AND valid_to > $to_position AS is_new
    FROM version WHERE is_old <> is_new
), changed_object AS (
    SELECT sort, object, keys, if(old.digest IS NULL, 'added', if(new.digest IS NULL, 'removed', 'changed')) AS change,
           old.values_by_name AS old_values, new.values_by_name AS new_values
    FROM (FROM differing_version WHERE is_old) AS old
    FULL JOIN (FROM differing_version WHERE is_new) AS new USING (sort, object, keys)
    WHERE old.digest IS DISTINCT FROM new.digest
), with_names AS (
    -- Values are listed for changed objects, and for all edges and parts of a split.
    SELECT *, CASE WHEN change = 'changed' OR object IN ('edge', 'split') THEN list_filter(
        map_keys(coalesce(new_values, old_values)), lambda name: old_values[name] IS DISTINCT FROM new_values[name]) END AS names
    FROM changed_object
)
SELECT object, if(object = 'edge', keys[1] || ' – ' || keys[2], array_to_string(keys, '/')) AS id, change, what,
       old_values[what] AS "from", new_values[what] AS "to"
FROM (SELECT *, unnest(if(len(names) > 0, names, [NULL])) AS what FROM with_names)
ORDER BY sort, change, id, what;
