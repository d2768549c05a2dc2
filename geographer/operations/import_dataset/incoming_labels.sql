-- incoming_labels.sql: labels of the source dataset's recipes $labels that are valid here: no other feature lies in a label's
--   box, features have the same order where it matters, and ids are unchanged where the label contains them
--   (a label that exists here is not among them, except for one of $files, which users added: it is merged three-way; is_contested says
--   that both datasets changed it)
-- needs: renamed_label, renamed_object_order, incoming_feature, incoming_raster, current_feature, current_label, base_label,
--   feature_order, variable prefix, $labels, $files, $has_other_features ·
-- makes: one result: change, label, raster_id, path, size, md5, sha256, pixel_digest, source_path, is_contested
WITH candidate AS (
    SELECT * FROM renamed_label
    -- A label without a box depends on no feature: it was added as a file.
    WHERE is_up_to_date AND list_contains($labels::VARCHAR[], source_label) AND (west IS NULL OR NOT $has_other_features)
      AND (NOT by_name OR (getvariable('prefix') = '' AND raster_id = source_raster_id))
), other_feature AS (
    SELECT xmin, ymin, xmax, ymax
    FROM current_feature ANTI JOIN (FROM incoming_feature WHERE status = 'equal' OR is_imported) USING (feature_id)
), candidate_box AS (
    SELECT label, raster_id, west, south, east, north FROM candidate
    UNION ALL
    SELECT label, raster_id, west + lon_shift, south, east + lon_shift, north FROM candidate WHERE lon_shift IS NOT NULL
), label_with_other_feature AS (
    SELECT DISTINCT label, raster_id FROM candidate_box JOIN other_feature
    ON ST_Intersects_Extent(ST_MakeEnvelope(xmin, ymin, xmax, ymax), ST_MakeEnvelope(west, south, east, north))
), object_order AS (
    -- New features follow all existing ones, in the order of the source dataset.
    SELECT label, raster_id, order_index, row_number() OVER (
        PARTITION BY label, raster_id
        ORDER BY added NULLS LAST, added_by, CASE WHEN added IS NULL THEN order_index END, feature_id) AS merged_order_index
    FROM renamed_object_order LEFT JOIN feature_order USING (feature_id)
), reordered_label AS (
    SELECT DISTINCT label, raster_id FROM object_order WHERE order_index <> merged_order_index
)
SELECT if(our_path IS NULL, 'added', 'changed') AS change, label, raster_id, coalesce(our_path, path) AS path, size, md5, sha256,
       pixel_digest, source_path, our_path IS NOT NULL AND our_digest IS DISTINCT FROM base_digest AS is_contested
FROM candidate
SEMI JOIN (FROM incoming_raster WHERE status = 'equal' OR is_imported) USING (raster_id)
ANTI JOIN label_with_other_feature USING (label, raster_id)
ANTI JOIN reordered_label USING (label, raster_id)
LEFT JOIN (SELECT label, raster_id, path AS our_path, pixel_digest AS our_digest FROM current_label) AS ours USING (label, raster_id)
LEFT JOIN (SELECT label, raster_id, pixel_digest AS base_digest FROM base_label) AS base USING (label, raster_id)
WHERE our_path IS NULL OR (list_contains($files::VARCHAR[], source_label) AND pixel_digest <> our_digest
                            AND pixel_digest IS DISTINCT FROM base_digest)
ORDER BY label, raster_id;
