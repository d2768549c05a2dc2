-- version.sql: what differs between two revisions, by object and change, with the part of a version number that each change raises
--   (step: 1 PATCH, 2 MINOR, 3 MAJOR) and its first object
-- needs: tables of the state, $from_position, $to_position · makes: one result: step, object, change, count, id of the first object,
-- position of its event
WITH version AS (
    -- `content` is what stays when a file only moves.
    SELECT 'class_change' AS table_name, 'class' AS object, class AS id, NULL AS content, NULL AS part, row_digest, valid_from, valid_to
    FROM state.class
    UNION ALL SELECT 'feature_change', 'feature', feature_id, NULL, NULL, row_digest, valid_from, valid_to FROM state.feature
    UNION ALL SELECT 'raster_change', if(parent_id IS NULL, 'raster', 'chip'), raster_id,
           {'collection': collection, 'crs': crs, 'width': width, 'height': height, 'transform': transform, 'bands': bands,
            'dtype': dtype, 'nodata': nodata, 'acquired': acquired, 'size': size, 'md5': md5, 'sha256': sha256,
            'pixel_digest': pixel_digest, 'outline': ST_AsHEXWKB(outline), 'parent_id': parent_id, 'col': col, 'row': "row",
            'recipe': recipe, 'feature_id': feature_id, 'properties': properties}::JSON::VARCHAR,
           NULL, row_digest, valid_from, valid_to
    FROM state.raster
    UNION ALL SELECT 'label_change', 'label', concat_ws('/', label, raster_id),
           {'size': size, 'md5': md5, 'sha256': sha256, 'pixel_digest': pixel_digest}::JSON::VARCHAR,
           NULL, row_digest, valid_from, valid_to
    FROM state.label
    UNION ALL SELECT 'label_object_change', 'label object', concat_ws('/', label, raster_id, feature_id),
           NULL, NULL, row_digest, valid_from, valid_to
    FROM state.label_object
    UNION ALL SELECT 'split_change', 'split assignment', concat_ws('/', split, raster_id), NULL, part, row_digest, valid_from, valid_to
    FROM state.split
), unreadable AS (
    SELECT table_name, object AS id, row_digest, valid_from, valid_to FROM state.unreadable_row WHERE object IS NOT NULL
), differing_version AS (
    -- A version that is valid at both positions cannot differ, unless an unreadable one hides it at one of them.
    SELECT *, valid_from <= $from_position AND valid_to > $from_position AS is_old,
           valid_from <= $to_position AND valid_to > $to_position AS is_new
    FROM version
    WHERE is_old <> is_new OR ((is_old OR is_new) AND (table_name, id) IN (SELECT (table_name, id) FROM unreadable))
), old AS (
    FROM (SELECT * EXCLUDE (is_old, is_new) FROM differing_version WHERE is_old)
    ANTI JOIN (FROM unreadable WHERE valid_from <= $from_position AND valid_to > $from_position) USING (table_name, id)
    UNION ALL BY NAME
    SELECT *, 'unreadable row' AS object FROM unreadable WHERE valid_from <= $from_position AND valid_to > $from_position
), new AS (
    FROM (SELECT * EXCLUDE (is_old, is_new) FROM differing_version WHERE is_new)
    ANTI JOIN (FROM unreadable WHERE valid_from <= $to_position AND valid_to > $to_position) USING (table_name, id)
    UNION ALL BY NAME
    SELECT *, 'unreadable row' AS object FROM unreadable WHERE valid_from <= $to_position AND valid_to > $to_position
), changed_object AS (
    SELECT coalesce(new.object, old.object) AS object, id, CASE
               WHEN old.row_digest IS NULL THEN 'added'
               WHEN new.row_digest IS NULL THEN 'removed'
               WHEN old.content = new.content AND (old.content->>'$.sha256') IS NOT NULL THEN 'relocated'
               WHEN table_name <> 'split_change' THEN 'changed'
               WHEN old.part IS NULL THEN 'assigned'
               ELSE 'moved' END AS change,
           -- The event that made the difference: on the way back, the one that is undone.
           CASE WHEN $from_position <= $to_position THEN if(new.row_digest IS NULL, old.valid_to, new.valid_from)
                ELSE if(old.row_digest IS NULL, new.valid_to, old.valid_from) END AS position
    FROM old FULL JOIN new USING (table_name, id)
    WHERE old.row_digest IS DISTINCT FROM new.row_digest
)
SELECT CASE WHEN change = 'relocated' THEN 1 WHEN change IN ('added', 'assigned') THEN 2 ELSE 3 END AS step,
       object, change, count(*) AS count, min(id) AS id, arg_min(position, id) AS position
FROM changed_object GROUP BY object, change
-- What people declare comes before what follows from it.
ORDER BY step DESC, list_position(['class', 'feature', 'raster', 'split assignment', 'chip', 'label', 'label object'], object), change;
