-- 040_edge.sql: which raster contains or intersects which feature, for all that is new after $after
-- What is gone takes its edges with it.
UPDATE state.edge SET valid_to = gone.valid_to
FROM (SELECT feature_key, valid_to FROM state.feature WHERE valid_to > $after AND valid_to <= $up_to) AS gone
WHERE gone.feature_key = edge.feature_key AND gone.valid_to < edge.valid_to;

UPDATE state.edge SET valid_to = gone.valid_to
FROM (SELECT raster_key, valid_to FROM state.raster WHERE valid_to > $after AND valid_to <= $up_to) AS gone
WHERE gone.raster_key = edge.raster_key AND gone.valid_to < edge.valid_to;

INSERT INTO state.edge BY NAME
WITH feature AS (
    SELECT feature_key, geometry, native, crs, xmin, ymin, xmax, ymax, valid_from, valid_to
    FROM state.feature WHERE valid_to > $after
), raster AS (
    SELECT raster_key, outline, boxed, wraps, crs AS raster_crs, xmin AS west, ymin AS south, xmax AS east,
           ymax AS north, box_xmin, box_ymin, box_xmax, box_ymax, beyond_xmin, beyond_xmax,
           inner_xmin, inner_ymin, inner_xmax, inner_ymax, valid_from AS raster_from, valid_to AS raster_to
    FROM state.raster WHERE valid_to > $after
), boxed_raster AS (
    -- One box of candidates in degrees for each raster, and a second one where it reaches over the antimeridian.
    SELECT *, box_xmin AS from_lon, box_xmax AS to_lon, false AS second_box FROM raster
    UNION ALL
    SELECT *, beyond_xmin, beyond_xmax, true FROM raster WHERE beyond_xmin IS NOT NULL
), candidate AS (
    SELECT * FROM (SELECT * FROM feature WHERE valid_from > $after) JOIN boxed_raster
    ON ST_Intersects_Extent(ST_MakeEnvelope(xmin, ymin, xmax, ymax),
                            ST_MakeEnvelope(from_lon, box_ymin, to_lon, box_ymax))
    UNION ALL
    SELECT * FROM (SELECT * FROM feature WHERE valid_from <= $after)
    JOIN (SELECT * FROM boxed_raster WHERE raster_from > $after)
    ON ST_Intersects_Extent(ST_MakeEnvelope(xmin, ymin, xmax, ymax),
                            ST_MakeEnvelope(from_lon, box_ymin, to_lon, box_ymax))
), sifted AS (
    -- Left out: versions that never stood together, and pairs that met in the raster's first box already. In a WHERE
    -- these comparisons would become the join, and the join no spatial one.
    SELECT *, valid_from >= raster_to OR raster_from >= valid_to
              OR (second_box AND xmax >= box_xmin AND xmin <= box_xmax) AS apart,
           coalesce(xmin >= inner_xmin AND xmax <= inner_xmax AND ymin >= inner_ymin AND ymax <= inner_ymax,
                    false) AS well_inside
    FROM candidate
), expressed AS (
    -- The feature in the raster's CRS, for the pairs that the inner box does not decide.
    SELECT *, CASE
        WHEN apart OR well_inside THEN NULL
        WHEN wraps THEN turned_to(into_crs(coalesce(native, geometry), crs, raster_crs), (west + east) / 2)
        ELSE into_crs(coalesce(native, geometry), crs, raster_crs) END AS g
    FROM sifted
), decided AS (
    SELECT *, CASE
        WHEN apart THEN NULL
        WHEN well_inside THEN 'contains'
        WHEN NOT isfinite(ST_XMin(g) + ST_XMax(g) + ST_YMin(g) + ST_YMax(g)) THEN 'inexpressible'
        WHEN ST_XMin(g) > east OR ST_XMax(g) < west OR ST_YMin(g) > north OR ST_YMax(g) < south THEN NULL
        WHEN boxed AND ST_XMin(g) > west AND ST_XMax(g) < east AND ST_YMin(g) > south AND ST_YMax(g) < north
            THEN 'contains'
        WHEN ST_Contains(outline, g) THEN 'contains'
        WHEN ST_Intersects(outline, g) THEN 'intersects' END AS relation
    FROM expressed
)
SELECT feature_key, raster_key, CASE relation WHEN 'contains' THEN true WHEN 'intersects' THEN false END AS contains,
       greatest(valid_from, raster_from) AS valid_from, least(valid_to, raster_to) AS valid_to
FROM decided
WHERE relation IS NOT NULL;

-- What a raster's CRS can't express reaches far beyond that raster: it is not contained, and longitude/latitude will do
-- to see whether it intersects.
UPDATE state.edge SET contains = false
FROM state.feature AS feature, state.raster AS raster
WHERE contains IS NULL AND feature.feature_key = edge.feature_key AND raster.raster_key = edge.raster_key
  AND ST_Intersects(footprint, geometry);

DELETE FROM state.edge WHERE contains IS NULL;
