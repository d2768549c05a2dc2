-- feature_digests.sql: which raster of $collection shows which feature, and when; lines and points $wide reach rasters beside them
CREATE OR REPLACE TEMP TABLE grown AS
-- By half the width or more: what is drawn decides in the end.
SELECT raster_key, raster_id, turn, box_xmin - coalesce(pad_x, 0) AS west, box_ymin - coalesce(pad_y, 0) AS south,
       box_xmax + coalesce(pad_x, 0) AS east, box_ymax + coalesce(pad_y, 0) AS north
FROM (
    SELECT *, CASE WHEN $unit = 'px' THEN $amount * (box_xmax - box_xmin) / least(width, height)
                   ELSE $amount / 100000 / cos(radians(least(greatest(abs(box_ymin), abs(box_ymax)), 89))) END AS pad_x,
           CASE WHEN $unit = 'px' THEN $amount * (box_ymax - box_ymin) / least(width, height) ELSE $amount / 100000 END AS pad_y
    FROM raster_now WHERE collection = $collection
);

CREATE OR REPLACE TEMP TABLE near AS
WITH thin AS (
    SELECT feature_key, xmin, ymin, xmax, ymax, valid_from, valid_to FROM state.feature
    WHERE $amount IS NOT NULL AND valid_from <= getvariable('position') AND ST_Dimension(geometry) < 2
), box AS (
    SELECT raster_key, unnest([0.0, coalesce(turn, 0.0)]) AS turned, west, south, east, north
    FROM grown WHERE $amount IS NOT NULL
), met AS (
    SELECT DISTINCT raster_key, feature_key, valid_from, valid_to
    FROM thin JOIN box ON ST_Intersects_Extent(ST_MakeEnvelope(xmin, ymin, xmax, ymax),
                                               ST_MakeEnvelope(west + turned, south, east + turned, north))
)
SELECT * FROM met ANTI JOIN state.edge USING (raster_key, feature_key);

CREATE OR REPLACE TEMP VIEW shown AS
SELECT raster_key, feature_key, valid_from, valid_to FROM state.edge
UNION ALL SELECT raster_key, feature_key, valid_from, valid_to FROM near;

CREATE OR REPLACE TEMP VIEW shown_now AS
SELECT raster_key, feature_key FROM shown
WHERE valid_from <= getvariable('position') AND valid_to > getvariable('position');
