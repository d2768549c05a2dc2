-- drawn_features.sql: which features a label of each raster of $collection may draw, by position
-- needs: current_raster, state.feature, state.edge, variable position, $collection, $amount and $unit of the line width, or null
-- · makes: temp tables padded_raster, nearby_feature; temp views drawn_feature, current_drawn_feature

-- Boxes of the rasters, padded by at least half the line width: rendering decides which pixels a line really covers.
CREATE OR REPLACE TEMP TABLE padded_raster AS
SELECT raster_key, raster_id, lon_shift, bbox_xmin - coalesce(pad_x, 0) AS west, bbox_ymin - coalesce(pad_y, 0) AS south,
       bbox_xmax + coalesce(pad_x, 0) AS east, bbox_ymax + coalesce(pad_y, 0) AS north
FROM (
    SELECT *, CASE WHEN $unit = 'px' THEN $amount * (bbox_xmax - bbox_xmin) / least(width, height)
                   ELSE $amount / 100000 / cos(radians(least(greatest(abs(bbox_ymin), abs(bbox_ymax)), 89))) END AS pad_x,
           CASE WHEN $unit = 'px' THEN $amount * (bbox_ymax - bbox_ymin) / least(width, height) ELSE $amount / 100000 END AS pad_y
    FROM current_raster WHERE collection = $collection
);

-- Lines and points outside a raster whose width may reach into it.
CREATE OR REPLACE TEMP TABLE nearby_feature AS
WITH line_or_point AS (
    SELECT feature_key, xmin, ymin, xmax, ymax, valid_from, valid_to FROM state.feature
    WHERE $amount IS NOT NULL AND valid_from <= getvariable('position') AND ST_Dimension(geometry) < 2
), raster_box AS (
    SELECT raster_key, unnest([0.0, coalesce(lon_shift, 0.0)]) AS shift, west, south, east, north
    FROM padded_raster WHERE $amount IS NOT NULL
), overlap AS (
    SELECT DISTINCT raster_key, feature_key, valid_from, valid_to
    FROM line_or_point JOIN raster_box ON ST_Intersects_Extent(ST_MakeEnvelope(xmin, ymin, xmax, ymax),
                                                               ST_MakeEnvelope(west + shift, south, east + shift, north))
)
SELECT * FROM overlap ANTI JOIN state.edge USING (raster_key, feature_key);

CREATE OR REPLACE TEMP VIEW drawn_feature AS
SELECT raster_key, feature_key, valid_from, valid_to FROM state.edge
UNION ALL SELECT raster_key, feature_key, valid_from, valid_to FROM nearby_feature;

CREATE OR REPLACE TEMP VIEW current_drawn_feature AS
SELECT raster_key, feature_key FROM drawn_feature
WHERE valid_from <= getvariable('position') AND valid_to > getvariable('position');
