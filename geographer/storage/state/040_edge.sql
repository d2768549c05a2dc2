-- 040_edge.sql: which raster contains or intersects which feature, for all that is new after $after
UPDATE state.edge SET valid_to = closed.valid_to
FROM (SELECT feature_key, valid_to FROM state.feature WHERE valid_to > $after AND valid_to <= $up_to) AS closed
WHERE edge.feature_key = closed.feature_key AND edge.valid_to > closed.valid_to;

UPDATE state.edge SET valid_to = closed.valid_to
FROM (SELECT raster_key, valid_to FROM state.raster WHERE valid_to > $after AND valid_to <= $up_to) AS closed
WHERE edge.raster_key = closed.raster_key AND edge.valid_to > closed.valid_to;

-- The edges between the features from one position on and up to another, and the rasters from a position on, that
-- stood together after `after`. Boxes decide most of the pairs. Of the others, most are decided in the raster's frame,
-- where u and v are nearly known without its CRS. Only what is left is expressed in that CRS.
CREATE OR REPLACE TEMP MACRO edges_between(features_from, features_up_to, rasters_from, after) AS TABLE
WITH feature AS (
    SELECT feature_key, geometry, native, crs, xmin, ymin, xmax, ymax, valid_from AS feature_from, valid_to AS feature_to
    FROM state.feature WHERE valid_from > features_from AND valid_from <= features_up_to AND valid_to > after
), raster AS NOT MATERIALIZED (
    SELECT * FROM state.raster WHERE valid_from > rasters_from AND valid_to > after
), box AS (
    -- One box of candidates for each raster, and near the antimeridian a second one, a turn away.
    SELECT raster_key AS box_of, 0.0::DOUBLE AS turned, box_xmin, box_ymin, box_xmax, box_ymax, inner_xmin, inner_ymin,
           inner_xmax, inner_ymax, NULL::DOUBLE AS first_xmin, NULL::DOUBLE AS first_xmax,
           valid_from AS raster_from, valid_to AS raster_to
    FROM raster
    UNION ALL
    SELECT raster_key, turn, box_xmin + turn, box_ymin, box_xmax + turn, box_ymax, inner_xmin + turn, inner_ymin,
           inner_xmax + turn, inner_ymax, box_xmin, box_xmax, valid_from, valid_to
    FROM raster WHERE turn IS NOT NULL
), candidate AS (
    -- Any comparison beside the boxes' would turn the spatial join into another one.
    SELECT *, greatest(feature_from, raster_from) AS since, least(feature_to, raster_to) AS until
    FROM feature JOIN box
    ON ST_Intersects_Extent(ST_MakeEnvelope(xmin, ymin, xmax, ymax),
                            ST_MakeEnvelope(box_xmin, box_ymin, box_xmax, box_ymax))
), sifted AS (
    -- Set apart: versions that never stood together, and pairs that met in the first box already.
    SELECT *, CASE
        WHEN since >= until OR (xmax >= first_xmin AND xmin <= first_xmax) THEN 'apart'
        WHEN xmin >= inner_xmin AND xmax <= inner_xmax AND ymin >= inner_ymin AND ymax <= inner_ymax THEN 'contains'
        ELSE 'open' END AS box_says
    FROM candidate
), looked_up AS (
    -- What is wide is fetched only for the pairs that are still open.
    SELECT feature_key, box_of, since, until, box_says, geometry, native, sifted.crs, turned, outline, footprint, torn, wraps,
           raster.crs AS raster_crs, raster.xmin AS west, raster.ymin AS south, raster.xmax AS east, raster.ymax AS north,
           u_lon, u_lat, u_0, v_lon, v_lat, v_0, surely_in, surely_out
    FROM sifted LEFT JOIN raster ON raster_key = CASE WHEN box_says = 'open' THEN box_of END
), framed AS (
    SELECT *, CASE WHEN surely_in IS NOT NULL
                   THEN ST_Affine(geometry, u_lon, u_lat, v_lon, v_lat, u_0 - u_lon * turned, v_0 - v_lon * turned) END AS f
    FROM looked_up
), spanned AS (
    SELECT *, ST_XMin(f) AS u_min, ST_XMax(f) AS u_max, ST_YMin(f) AS v_min, ST_YMax(f) AS v_max FROM framed
), nearly AS (
    -- Two vertices show that a raster intersects without containing: one outside, and one inside, as is the outermost
    -- in one direction if nothing is outside in the other.
    SELECT *, greatest(abs(u_min), abs(u_max)) AS u_far, least(abs(u_min), abs(u_max)) AS u_near,
           greatest(abs(v_min), abs(v_max)) AS v_far, least(abs(v_min), abs(v_max)) AS v_near
    FROM spanned
), told AS (
    SELECT *, CASE
        WHEN box_says <> 'open' THEN box_says
        WHEN f IS NULL OR greatest(u_far, v_far) > 1.5 THEN 'open'
        WHEN u_far < surely_in AND v_far < surely_in THEN 'contains'
        WHEN u_min > surely_out OR u_max < -surely_out OR v_min > surely_out OR v_max < -surely_out THEN 'apart'
        WHEN (u_near < surely_in AND u_far > surely_out AND v_far < surely_in)
             OR (v_near < surely_in AND v_far > surely_out AND u_far < surely_in) THEN 'intersects'
        ELSE 'open' END AS frame_says
    FROM nearly
), expressed AS (
    -- The feature in the raster's CRS.
    SELECT *, CASE
        WHEN frame_says <> 'open' THEN NULL
        WHEN wraps THEN turned_to(feature_in(geometry, native, crs, raster_crs, torn), (west + east) / 2)
        ELSE feature_in(geometry, native, crs, raster_crs, torn) END AS g
    FROM told
), measured AS (
    SELECT *, ST_XMin(g) AS g_west, ST_YMin(g) AS g_south, ST_XMax(g) AS g_east, ST_YMax(g) AS g_north
    FROM expressed
)
-- The WHERE asks whether they meet, the SELECT whether one contains the other: so neither is asked twice.
SELECT feature_key, box_of AS raster_key, since AS valid_from, until AS valid_to, CASE
        WHEN frame_says <> 'open' THEN frame_says = 'contains'
        WHEN NOT expressed THEN false
        WHEN wraps THEN ST_Contains(outline, g)
        ELSE g_west >= west AND g_east <= east AND g_south >= south AND g_north <= north AND ST_Contains(outline, g)
    END AS contains
FROM (SELECT *, isfinite(g_west + g_south + g_east + g_north) AS expressed FROM measured)
WHERE CASE
        WHEN frame_says <> 'open' THEN frame_says <> 'apart'
        -- What the raster's CRS can't express reaches far beyond that raster: longitude/latitude will do.
        WHEN NOT expressed THEN ST_Intersects(footprint, geometry)
        WHEN wraps THEN ST_Intersects(outline, g) OR ST_Intersects(outline, ST_Translate(g, 360.0, 0.0))
                        OR ST_Intersects(outline, ST_Translate(g, -360.0, 0.0))
        ELSE g_west <= east AND g_east >= west AND g_south <= north AND g_north >= south AND ST_Intersects(outline, g)
    END;

-- The rasters' boxes are what the join keeps in memory. The optimizer would take the side that it thinks is smaller,
-- and it does not count the rows of this transaction.
SET disabled_optimizers = 'build_side_probe_side';

-- What is new among the features, with every raster; then the features that stood, with what is new among the rasters.
INSERT INTO state.edge BY NAME FROM edges_between($after, $up_to, 0, $after);

INSERT INTO state.edge BY NAME FROM edges_between(0, $after, $after, $after);

RESET disabled_optimizers;
