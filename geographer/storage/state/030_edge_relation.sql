-- 030_edge_relation.sql: which raster contains or intersects which feature, for the versions that are new after $after
-- needs: state.feature, state.raster, macros.sql, $after, $up_to · makes: versions in state.edge, macro edges_between
UPDATE state.edge SET valid_to = ended.valid_to
FROM (SELECT feature_key, valid_to FROM state.feature WHERE valid_to > $after AND valid_to <= $up_to) AS ended
WHERE edge.feature_key = ended.feature_key AND edge.valid_to > ended.valid_to;

UPDATE state.edge SET valid_to = ended.valid_to
FROM (SELECT raster_key, valid_to FROM state.raster WHERE valid_to > $after AND valid_to <= $up_to) AS ended
WHERE edge.raster_key = ended.raster_key AND edge.valid_to > ended.valid_to;

-- Edges between the feature versions from after `features_from` to `features_up_to` and the raster versions from after
-- `rasters_from`, valid at the same time after `after`. Each pair is decided by the cheapest test that is certain:
--   1. boxes in degrees: boxes that don't meet are disjoint; a feature's box within a raster's inner box is contained;
--   2. the raster's frame (022_raster.sql): (u, v) is linear in longitude and latitude, and its error is bounded;
--   3. the exact test in the raster's CRS. It transforms the feature, which costs most.
CREATE OR REPLACE TEMP MACRO edges_between(features_from, features_up_to, rasters_from, after) AS TABLE
WITH feature AS (
    SELECT feature_key, geometry, native, crs, xmin, ymin, xmax, ymax, valid_from AS feature_from, valid_to AS feature_to
    FROM state.feature WHERE valid_from > features_from AND valid_from <= features_up_to AND valid_to > after
), raster AS NOT MATERIALIZED (
    SELECT * FROM state.raster WHERE valid_from > rasters_from AND valid_to > after
), raster_box AS (
    -- A raster near the antimeridian has a second box, shifted by 360 degrees.
    SELECT raster_key AS box_raster_key, 0.0::DOUBLE AS shift, bbox_xmin, bbox_ymin, bbox_xmax, bbox_ymax,
           inner_bbox_xmin, inner_bbox_ymin, inner_bbox_xmax, inner_bbox_ymax,
           NULL::DOUBLE AS unshifted_xmin, NULL::DOUBLE AS unshifted_xmax, valid_from AS raster_from, valid_to AS raster_to
    FROM raster
    UNION ALL SELECT raster_key, lon_shift, bbox_xmin + lon_shift, bbox_ymin, bbox_xmax + lon_shift, bbox_ymax,
           inner_bbox_xmin + lon_shift, inner_bbox_ymin, inner_bbox_xmax + lon_shift, inner_bbox_ymax,
           bbox_xmin, bbox_xmax, valid_from, valid_to
    FROM raster WHERE lon_shift IS NOT NULL
), candidate_pair AS (
    -- DuckDB uses its spatial join only if the condition is this comparison and nothing else.
    SELECT *, greatest(feature_from, raster_from) AS since, least(feature_to, raster_to) AS until
    FROM feature JOIN raster_box
    ON ST_Intersects_Extent(ST_MakeEnvelope(xmin, ymin, xmax, ymax),
                            ST_MakeEnvelope(bbox_xmin, bbox_ymin, bbox_xmax, bbox_ymax))
), with_box_relation AS (
    -- Drop pairs of versions that are never valid together, and the second of two pairs with one raster.
    SELECT *, CASE
        WHEN since >= until OR (xmax >= unshifted_xmin AND xmin <= unshifted_xmax) THEN 'disjoint'
        WHEN xmin >= inner_bbox_xmin AND xmax <= inner_bbox_xmax
             AND ymin >= inner_bbox_ymin AND ymax <= inner_bbox_ymax THEN 'contains'
        ELSE 'undecided' END AS box_relation
    FROM candidate_pair
), with_raster AS (
    -- Fetch the wide columns of a raster for undecided pairs only.
    SELECT feature_key, box_raster_key, since, until, box_relation, geometry, native, with_box_relation.crs, shift, outline,
           footprint, splits_at_antimeridian, crosses_180, crs_is_partial, reaches_limb, raster.crs AS raster_crs,
           raster.xmin AS west, raster.ymin AS south, raster.xmax AS east, raster.ymax AS north,
           frame_u_lon, frame_u_lat, frame_u_0, frame_v_lon, frame_v_lat, frame_v_0, inside_bound, outside_bound
    FROM with_box_relation
    LEFT JOIN raster ON raster_key = CASE WHEN box_relation = 'undecided' THEN box_raster_key END
), in_frame AS (
    SELECT *, CASE WHEN inside_bound IS NOT NULL
                   THEN ST_Affine(geometry, frame_u_lon, frame_u_lat, frame_v_lon, frame_v_lat,
                                  frame_u_0 - frame_u_lon * shift, frame_v_0 - frame_v_lon * shift) END AS uv
    FROM with_raster
), frame_bounds AS (
    SELECT *, ST_XMin(uv) AS u_min, ST_XMax(uv) AS u_max, ST_YMin(uv) AS v_min, ST_YMax(uv) AS v_max FROM in_frame
), frame_distance AS (
    SELECT *, greatest(abs(u_min), abs(u_max)) AS u_far, least(abs(u_min), abs(u_max)) AS u_near,
           greatest(abs(v_min), abs(v_max)) AS v_far, least(abs(v_min), abs(v_max)) AS v_near
    FROM frame_bounds
), with_frame_relation AS (
    -- A feature intersects if one vertex is outside and one inside. Where no vertex is outside in v, the two outermost
    -- vertices in u show that; likewise with u and v exchanged.
    SELECT *, CASE
        WHEN box_relation <> 'undecided' THEN box_relation
        WHEN uv IS NULL OR greatest(u_far, v_far) > 1.5 THEN 'undecided'
        WHEN u_far < inside_bound AND v_far < inside_bound THEN 'contains'
        WHEN u_min > outside_bound OR u_max < -outside_bound OR v_min > outside_bound OR v_max < -outside_bound THEN 'disjoint'
        WHEN (u_near < inside_bound AND u_far > outside_bound AND v_far < inside_bound)
             OR (v_near < inside_bound AND v_far > outside_bound AND u_far < inside_bound) THEN 'intersects'
        ELSE 'undecided' END AS frame_relation
    FROM frame_distance
), in_raster_crs AS (
    SELECT *, CASE
        WHEN frame_relation <> 'undecided' THEN NULL
        WHEN is_part THEN visible_part(geometry, footprint, raster_crs)
        ELSE shift_to_raster(feature_to_crs(geometry, native, crs, raster_crs, splits_at_antimeridian), crosses_180, west, east) END AS g
    FROM (SELECT *, frame_relation = 'undecided' AND is_partly_visible(geometry, raster_crs, crs_is_partial, reaches_limb) AS is_part
          FROM with_frame_relation)
), exact_bounds AS (
    SELECT *, ST_XMin(g) AS g_west, ST_YMin(g) AS g_south, ST_XMax(g) AS g_east, ST_YMax(g) AS g_north
    FROM in_raster_crs
)
-- WHERE tests whether the two meet, SELECT whether the raster contains the feature: neither is computed twice.
SELECT feature_key, box_raster_key AS raster_key, since AS valid_from, until AS valid_to, CASE
        WHEN frame_relation <> 'undecided' THEN frame_relation = 'contains'
        WHEN is_part OR NOT is_expressible THEN false
        WHEN crosses_180 THEN ST_Contains(outline, g)
        ELSE g_west >= west AND g_east <= east AND g_south >= south AND g_north <= north AND ST_Contains(outline, g)
    END AS contains
FROM (SELECT *, isfinite(g_west + g_south + g_east + g_north) AS is_expressible FROM exact_bounds)
WHERE CASE
        WHEN frame_relation <> 'undecided' THEN frame_relation <> 'disjoint'
        -- Of a feature that the raster's CRS does not express wholly, its part within the footprint counts.
        WHEN is_part THEN g IS NOT NULL AND ST_Intersects(outline, g)
        -- A feature without coordinates in a CRS of the whole globe, such as one at a pole, extends far beyond the raster.
        WHEN NOT is_expressible THEN ST_Intersects(footprint, geometry)
        WHEN crosses_180 THEN ST_Intersects(outline, g) OR ST_Intersects(outline, ST_Translate(g, 360.0, 0.0))
                              OR ST_Intersects(outline, ST_Translate(g, -360.0, 0.0))
        ELSE g_west <= east AND g_east >= west AND g_south <= north AND g_north >= south AND ST_Intersects(outline, g)
    END;

-- The join keeps the rasters' boxes in memory. The optimizer would choose the side by its estimate of the rows, which
-- does not count rows of this transaction.
SET disabled_optimizers = 'build_side_probe_side';

-- New features with all rasters, then older features with new rasters.
INSERT INTO state.edge BY NAME FROM edges_between($after, $up_to, 0, $after);

INSERT INTO state.edge BY NAME FROM edges_between(0, $after, $after, $after);

RESET disabled_optimizers;
