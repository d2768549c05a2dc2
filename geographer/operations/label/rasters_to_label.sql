-- rasters_to_label.sql: the rasters of $collection whose label $name is missing, or older than what it shows; and labels of others
CREATE OR REPLACE TEMP TABLE raster_to_label AS
WITH raster AS (
    SELECT * FROM raster_now WHERE collection = $collection AND storage <> 'catalogue'
), parent AS (
    -- What each chip was cut from, as it was then.
    SELECT raster.raster_key, source.width AS parent_width, source.height AS parent_height
    FROM raster JOIN state.raster AS source ON source.raster_id = raster.parent_id
    AND source.valid_from <= raster.valid_from AND source.valid_to > raster.valid_from
), run AS (
    -- A run makes all anew that was out of date then; what came out as it was is not recorded again.
    SELECT coalesce(max(position), 0) AS run_at FROM log.event
    WHERE kind = 'labels_made' AND position <= getvariable('position') AND (payload->>'$.recipe.name') = $name
), labelled AS (
    SELECT raster_id, path AS known_path, sha256 AS known_sha256, greatest(valid_from, run_at) AS since
    FROM label_now, run WHERE label = $name
), feature_touched AS (
    -- Edges that began or ended.
    SELECT raster_key, max(greatest(valid_from, CASE WHEN valid_to <= getvariable('position') THEN valid_to END)) AS moved
    FROM shown SEMI JOIN raster USING (raster_key) WHERE valid_from <= getvariable('position') GROUP BY raster_key
), class_touched AS (
    -- Classes that came, went or got another value.
    SELECT raster_key, max(moved) AS moved
    FROM (SELECT class, max(greatest(valid_from, CASE WHEN valid_to <= getvariable('position') THEN valid_to END)) AS moved
          FROM state.class WHERE valid_from <= getvariable('position') GROUP BY class)
    JOIN (SELECT feature_key, class FROM feature_now) USING (class)
    JOIN shown_now USING (feature_key) SEMI JOIN raster USING (raster_key)
    GROUP BY raster_key
)
SELECT raster_key, raster_id, path, width, height, transform, crs, col, "row", parent_width, parent_height, known_path,
       known_sha256
FROM raster LEFT JOIN labelled USING (raster_id) LEFT JOIN parent USING (raster_key)
LEFT JOIN feature_touched AS by_feature USING (raster_key) LEFT JOIN class_touched AS by_class USING (raster_key)
WHERE $afresh OR since IS NULL OR since < greatest(valid_from, by_feature.moved, by_class.moved)
ORDER BY raster_id;

CREATE OR REPLACE TEMP TABLE raster_that_left AS
SELECT raster_id FROM label_now ANTI JOIN
    (SELECT raster_id FROM raster_now WHERE collection = $collection AND storage <> 'catalogue') USING (raster_id)
WHERE label = $name ORDER BY raster_id;
