-- 030_edge_relation.sql: which raster contains or intersects which feature, for the versions that are new after $after
-- needs: state.feature, state.raster, macros.sql, $after, $up_to · makes: versions in state.edge, macro edges_between
-- only if: FROM state.feature
UPDATE state.edge SET valid_to = ended.valid_to
FROM (SELECT feature_key, valid_to FROM state.feature WHERE valid_to > $after AND valid_to <= $up_to) AS ended
WHERE edge.feature_key = ended.feature_key AND edge.valid_to > ended.valid_to;

UPDATE state.edge SET valid_to = ended.valid_to
FROM (SELECT raster_key, valid_to FROM state.raster WHERE valid_to > $after AND valid_to <= $up_to) AS ended
WHERE edge.raster_key = ended.raster_key AND edge.valid_to > ended.valid_to;

-- Edges between the feature versions from after `features_from` to `features_up_to` and the raster versions from after
-- `rasters_from`, valid at the same time after `after`. Each pair is decided by the cheapest test that is certain:
--   1. boxes in degrees: boxes that don't meet are disjoint; a feature's box within a raster's inner box is contained;
--   2. the distances of the feature's box from the four sides of the raster (022_raster.sql): they are linear in longitude and latitude,
--      and their error is bounded. A box inside of all sides is contained, one beyond a side is disjoint;
--   3. the same distances of the feature's vertices;
--   4. the exact test in the raster's CRS. It transforms the feature, which costs most.
-- Columns of undecided pairs are null for the decided ones, so DuckDB computes nothing for these.
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
), with_inner_box AS (
    -- Drop pairs of versions that are never valid together, and the second of two pairs with one raster.
    SELECT *, xmin >= inner_bbox_xmin AND xmax <= inner_bbox_xmax AND ymin >= inner_bbox_ymin AND ymax <= inner_bbox_ymax AS is_in_inner_box
    FROM candidate_pair WHERE since < until AND (unshifted_xmin IS NULL OR xmax < unshifted_xmin OR xmin > unshifted_xmax)
), with_raster AS (
    -- Fetch the wide columns of a raster for the other pairs only; they are null for those in the inner box.
    SELECT feature_key, box_raster_key, since, until, is_in_inner_box, geometry, native, with_inner_box.crs, outline, footprint,
           splits_at_antimeridian, crosses_180, crs_is_partial, reaches_limb, raster.crs AS raster_crs,
           raster.xmin AS west, raster.ymin AS south, raster.xmax AS east, raster.ymax AS north,
           side_1_lon, side_1_lat, side_1_0 - side_1_lon * shift AS side_1_0, side_2_lon, side_2_lat, side_2_0 - side_2_lon * shift AS side_2_0,
           side_3_lon, side_3_lat, side_3_0 - side_3_lon * shift AS side_3_0, side_4_lon, side_4_lat, side_4_0 - side_4_lon * shift AS side_4_0,
           inside_margin, outside_margin, reach,
           (with_inner_box.xmin + with_inner_box.xmax) / 2 AS x, (with_inner_box.xmax - with_inner_box.xmin) / 2 AS half_width,
           (with_inner_box.ymin + with_inner_box.ymax) / 2 AS y, (with_inner_box.ymax - with_inner_box.ymin) / 2 AS half_height
    FROM with_inner_box LEFT JOIN raster ON raster_key = CASE WHEN is_in_inner_box THEN NULL ELSE box_raster_key END
), with_distance AS (
    -- The distances of the feature's box from a side of the outline differ from that of its middle by the radius.
    SELECT *,
           side_1_0 + side_1_lon * x + side_1_lat * y AS distance_1, abs(side_1_lon) * half_width + abs(side_1_lat) * half_height AS radius_1,
           side_2_0 + side_2_lon * x + side_2_lat * y AS distance_2, abs(side_2_lon) * half_width + abs(side_2_lat) * half_height AS radius_2,
           side_3_0 + side_3_lon * x + side_3_lat * y AS distance_3, abs(side_3_lon) * half_width + abs(side_3_lat) * half_height AS radius_3,
           side_4_0 + side_4_lon * x + side_4_lat * y AS distance_4, abs(side_4_lon) * half_width + abs(side_4_lat) * half_height AS radius_4
    FROM with_raster
), with_box_relation AS (
    SELECT *, distance_1 - radius_1 > inside_margin AND distance_2 - radius_2 > inside_margin
              AND distance_3 - radius_3 > inside_margin AND distance_4 - radius_4 > inside_margin AS box_is_inside,
           distance_1 - radius_1 > -reach AND distance_2 - radius_2 > -reach AND distance_3 - radius_3 > -reach AND distance_4 - radius_4 > -reach
           AND (distance_1 + radius_1 < -outside_margin OR distance_2 + radius_2 < -outside_margin
                OR distance_3 + radius_3 < -outside_margin OR distance_4 + radius_4 < -outside_margin) AS box_is_outside
    FROM with_distance
), with_vertex_distances AS (
    -- The smallest and largest distances of the vertices from sides 1 and 3, and from sides 2 and 4.
    SELECT *, CASE WHEN NOT (box_is_inside OR box_is_outside) THEN ST_Extent(ST_Affine(
               geometry, side_1_lon, side_1_lat, side_3_lon, side_3_lat, side_1_0, side_3_0))::STRUCT(min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE) END AS from_1_and_3,
           CASE WHEN NOT (box_is_inside OR box_is_outside) THEN ST_Extent(ST_Affine(
               geometry, side_2_lon, side_2_lat, side_4_lon, side_4_lat, side_2_0, side_4_0))::STRUCT(min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE) END AS from_2_and_4
    FROM with_box_relation
), with_side_relation AS (
    -- A feature intersects if one vertex is outside and one inside. Where all vertices are inside of three sides, the outermost and the
    -- innermost vertex from the fourth show that.
    SELECT *, CASE
        WHEN is_in_inner_box THEN 'contains'
        WHEN box_is_inside THEN 'contains'
        WHEN box_is_outside THEN 'disjoint'
        WHEN from_1_and_3 IS NULL OR NOT least(from_1_and_3.min_x, from_1_and_3.min_y, from_2_and_4.min_x, from_2_and_4.min_y) > -reach THEN 'undecided'
        WHEN least(from_1_and_3.min_x, from_1_and_3.min_y, from_2_and_4.min_x, from_2_and_4.min_y) > inside_margin THEN 'contains'
        WHEN least(from_1_and_3.max_x, from_1_and_3.max_y, from_2_and_4.max_x, from_2_and_4.max_y) < -outside_margin THEN 'disjoint'
        WHEN least(from_1_and_3.min_x, from_1_and_3.min_y, from_2_and_4.min_x, from_2_and_4.min_y) < -outside_margin
             AND least(from_1_and_3.max_x, from_1_and_3.max_y, from_2_and_4.max_x, from_2_and_4.max_y) > inside_margin
             AND (from_1_and_3.min_x > inside_margin)::INT + (from_1_and_3.min_y > inside_margin)::INT
                 + (from_2_and_4.min_x > inside_margin)::INT + (from_2_and_4.min_y > inside_margin)::INT = 3 THEN 'intersects'
        ELSE 'undecided' END AS side_relation
    FROM with_vertex_distances
), in_raster_crs AS (
    SELECT *, CASE
        WHEN side_relation <> 'undecided' THEN NULL
        WHEN is_part THEN visible_part(geometry, footprint, raster_crs)
        ELSE shift_to_raster(feature_to_crs(geometry, native, crs, raster_crs, splits_at_antimeridian), crosses_180, west, east) END AS g
    FROM (SELECT *, side_relation = 'undecided' AND is_partly_visible(geometry, raster_crs, crs_is_partial, reaches_limb) AS is_part
          FROM with_side_relation)
), exact_bounds AS (
    SELECT *, ST_XMin(g) AS g_west, ST_YMin(g) AS g_south, ST_XMax(g) AS g_east, ST_YMax(g) AS g_north
    FROM in_raster_crs
)
-- WHERE tests whether the two meet, SELECT whether the raster contains the feature: neither is computed twice.
SELECT feature_key, box_raster_key AS raster_key, since AS valid_from, until AS valid_to, CASE
        WHEN side_relation <> 'undecided' THEN side_relation = 'contains'
        WHEN is_part OR NOT is_expressible THEN false
        WHEN crosses_180 THEN ST_Contains(outline, g)
        ELSE g_west >= west AND g_east <= east AND g_south >= south AND g_north <= north AND ST_Contains(outline, g)
    END AS contains
FROM (SELECT *, isfinite(g_west + g_south + g_east + g_north) AS is_expressible FROM exact_bounds)
WHERE CASE
        WHEN side_relation <> 'undecided' THEN side_relation <> 'disjoint'
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
