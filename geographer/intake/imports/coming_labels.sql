-- coming_labels.sql: the labels of another dataset that hold here too: no feature of ours alone lies where its raster does
WITH ours AS (
    SELECT xmin, ymin, xmax, ymax
    FROM feature_now ANTI JOIN (FROM coming_feature WHERE fate = 'equal' OR $theirs) USING (feature_id)
), box AS (
    SELECT label, raster_id, box_xmin, box_ymin, box_xmax, box_ymax FROM moved_label
    UNION ALL
    SELECT label, raster_id, box_xmin + turn, box_ymin, box_xmax + turn, box_ymax FROM moved_label WHERE turn IS NOT NULL
), met AS (
    SELECT DISTINCT label, raster_id FROM box JOIN ours
    ON ST_Intersects_Extent(ST_MakeEnvelope(xmin, ymin, xmax, ymax),
                            ST_MakeEnvelope(box_xmin, box_ymin, box_xmax, box_ymax))
)
SELECT label, raster_id, path, size, md5, sha256, pixel_digest, their_path
FROM moved_label
SEMI JOIN (FROM coming_raster WHERE fate = 'equal' OR comes) USING (raster_id)
ANTI JOIN met USING (label, raster_id)
ANTI JOIN label_now USING (label, raster_id)
ORDER BY label, raster_id;
