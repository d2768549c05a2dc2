-- incoming_labels.sql: which labels of another dataset ($labels, for the others have another form here) hold here too?
-- No feature of ours alone may lie where one would be drawn on their raster; where their order counts, features must have
-- theirs; and where ids are written into a label, they must stay.
WITH candidate AS (
    SELECT * FROM moved_label
    WHERE stands AND list_contains($labels::VARCHAR[], their_label)
      AND (NOT by_name OR (getvariable('prefix') = '' AND raster_id = their_raster_id))
), ours AS (
    SELECT xmin, ymin, xmax, ymax
    FROM feature_now ANTI JOIN (FROM coming_feature WHERE fate = 'equal' OR $theirs) USING (feature_id)
), box AS (
    SELECT label, raster_id, west, south, east, north FROM candidate
    UNION ALL
    SELECT label, raster_id, west + turn, south, east + turn, north FROM candidate WHERE turn IS NOT NULL
), met AS (
    SELECT DISTINCT label, raster_id FROM box JOIN ours
    ON ST_Intersects_Extent(ST_MakeEnvelope(xmin, ymin, xmax, ymax), ST_MakeEnvelope(west, south, east, north))
), placed AS (
    -- What comes anew is added after all that is here, in the order that it has there.
    SELECT label, raster_id, place, row_number() OVER (
        PARTITION BY label, raster_id ORDER BY added NULLS LAST, CASE WHEN added IS NULL THEN place END, feature_id) AS place_here
    FROM moved_object_shown LEFT JOIN feature_order USING (feature_id)
), misplaced AS (
    SELECT DISTINCT label, raster_id FROM placed WHERE place <> place_here
)
SELECT label, raster_id, path, size, md5, sha256, pixel_digest, their_path
FROM candidate
SEMI JOIN (FROM coming_raster WHERE fate = 'equal' OR comes) USING (raster_id)
ANTI JOIN met USING (label, raster_id)
ANTI JOIN misplaced USING (label, raster_id)
ANTI JOIN label_now USING (label, raster_id)
ORDER BY label, raster_id;
