-- missing.sql: the rasters of $collection whose label $name is missing, or older than what it shows
CREATE OR REPLACE TEMP TABLE raster_to_label AS
WITH stale AS (
    SELECT raster.raster_id
    FROM label_now AS label JOIN raster_now AS raster USING (raster_id)
    WHERE label = $name AND (
        raster.valid_from > label.valid_from
        -- The first value above a byte's: all masks of a label have one type.
        OR label.valid_from < (SELECT min(valid_from) FROM state.class
                               WHERE value > 255 AND valid_from <= getvariable('position'))
        OR raster_key IN (SELECT raster_key FROM state.edge
                          WHERE valid_from > label.valid_from AND valid_from <= getvariable('position'))
        OR raster_key IN (SELECT raster_key FROM state.edge
                          WHERE valid_to > label.valid_from AND valid_to <= getvariable('position')))
)
SELECT raster_id, path, width, height, transform, crs, known_sha256
FROM raster_now LEFT JOIN (SELECT raster_id, sha256 AS known_sha256 FROM label_now WHERE label = $name) USING (raster_id)
WHERE collection = $collection AND storage <> 'catalogue'
  AND (known_sha256 IS NULL OR raster_id IN (SELECT raster_id FROM stale))
ORDER BY raster_id;
