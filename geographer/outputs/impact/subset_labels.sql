-- subset_labels.sql: labels of the chips that the subset has at both positions, where they differ in any way: the file was
-- added, removed or changed; the listed objects changed; or equal values stand for other classes
-- needs: subset_chip, tables of the state, $from_position, $to_position · makes: one result: raster_id, label, change,
-- has_other_objects, has_other_meaning
WITH chip AS (
    SELECT raster_id FROM subset_chip WHERE in_from AND in_to
), version AS (
    SELECT label, raster_id, coalesce(pixel_digest, sha256) AS content, valid_from,
           valid_from <= $from_position AND valid_to > $from_position AS is_old,
           valid_from <= $to_position AND valid_to > $to_position AS is_new
    FROM state.label SEMI JOIN chip USING (raster_id) WHERE is_old OR is_new
), compared AS (
    SELECT label, raster_id, old.valid_from AS made_at,
           CASE WHEN old.content IS NULL THEN 'added' WHEN new.content IS NULL THEN 'removed'
                WHEN old.content <> new.content THEN 'changed' END AS change
    FROM (FROM version WHERE is_old) AS old FULL JOIN (FROM version WHERE is_new) AS new USING (label, raster_id)
), object_version AS (
    -- A version that is valid at both positions cannot differ.
    SELECT label, raster_id, feature_id, row_digest, valid_from <= $from_position AND valid_to > $from_position AS is_old,
           valid_from <= $to_position AND valid_to > $to_position AS is_new
    FROM state.label_object SEMI JOIN chip USING (raster_id) WHERE is_old <> is_new
), with_other_objects AS (
    SELECT DISTINCT label, raster_id
    FROM (FROM object_version WHERE is_old) AS old
    FULL JOIN (FROM object_version WHERE is_new) AS new USING (label, raster_id, feature_id)
    WHERE old.row_digest IS DISTINCT FROM new.row_digest
), class_version AS (
    SELECT class, value, valid_from <= $from_position AND valid_to > $from_position AS is_old,
           valid_from <= $to_position AND valid_to > $to_position AS is_new
    FROM state.class WHERE is_old OR is_new
), renamed_class AS (
    -- The classes of values that stand for another class, or for none, later. 0 is the background, whatever its name.
    SELECT unnest(old.classes) AS class
    FROM (SELECT value, list(class ORDER BY class) AS classes FROM class_version WHERE is_old GROUP BY value) AS old
    LEFT JOIN (SELECT value, list(class ORDER BY class) AS classes FROM class_version WHERE is_new GROUP BY value) AS new
        USING (value)
    WHERE old.classes IS DISTINCT FROM new.classes AND NOT (value = 0 AND new.classes IS NULL)
), with_other_meaning AS (
    -- A label shows the features that its raster had an edge to since it was made.
    SELECT DISTINCT label, compared.raster_id
    FROM compared JOIN state.raster USING (raster_id) JOIN state.edge USING (raster_key) JOIN state.feature USING (feature_key)
    WHERE edge.valid_from <= $from_position AND edge.valid_to > made_at AND class IN (FROM renamed_class)
)
SELECT raster_id, label, change, other.label IS NOT NULL AS has_other_objects, meaning.label IS NOT NULL AS has_other_meaning
FROM compared
LEFT JOIN with_other_objects AS other USING (label, raster_id)
LEFT JOIN with_other_meaning AS meaning USING (label, raster_id)
WHERE change IS NOT NULL OR has_other_objects OR has_other_meaning
ORDER BY label, raster_id;
