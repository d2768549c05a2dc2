-- their_labels.sql: the masks of a dataset that show what their rasters show now, and where these lie in longitude/latitude
WITH mask AS (
    SELECT label_now.* FROM label_now JOIN recipes ON recipes.name = label WHERE kind = 'label mask'
), stale AS (
    -- Made before its raster, before an edge of that came or went, or before a class was changed or removed.
    SELECT label, mask.raster_id
    FROM mask JOIN raster_now AS raster USING (raster_id)
    WHERE raster.valid_from > mask.valid_from
       OR raster_key IN (SELECT raster_key FROM state.edge
                         WHERE (valid_from > mask.valid_from AND valid_from <= getvariable('position'))
                            OR (valid_to > mask.valid_from AND valid_to <= getvariable('position')))
       OR mask.valid_from < (SELECT max(valid_to) FROM state.class WHERE valid_to <= getvariable('position'))
)
SELECT label, raster_id, mask.path, mask.size, mask.md5, mask.sha256, mask.pixel_digest,
       box_xmin, box_ymin, box_xmax, box_ymax, turn
FROM mask JOIN raster_now USING (raster_id) ANTI JOIN stale USING (label, raster_id)
ORDER BY label, raster_key;
