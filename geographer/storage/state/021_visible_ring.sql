-- 021_visible_ring.sql: the ring of each frame that reaches beyond the part of the globe that its CRS expresses; footprints around a pole
-- needs: chain_raster_change, raster_version_frame_ring, macros.sql · makes: rows of raster_version_visible_ring
-- only if: FROM raster_version_frame_ring WHERE NOT is_finite OR has_north_pole OR has_south_pole
-- The part that a CRS expresses may be the disk that a satellite sees. The ring has, from a place that is expressed, the farthest that is, towards each of 512 points of the frame's border, by bisection. The part is
-- taken for star-shaped around the place. A frame that has no such place, on a grid of 33 x 33, has no row.
INSERT INTO raster_version_visible_ring BY NAME
WITH RECURSIVE frame AS (
    SELECT DISTINCT crs, xs, ys, crs_is_partial, north_pole, south_pole FROM raster_version_frame_ring WHERE NOT is_finite
), visible_place AS (
    SELECT *, avg(i) OVER frame_places AS mean_i, avg(j) OVER frame_places AS mean_j
    FROM (SELECT crs, xs, ys, i, j, xs[1] + (xs[2] - xs[1]) * i / 32 + (xs[4] - xs[1]) * j / 32 AS x,
                 ys[1] + (ys[2] - ys[1]) * i / 32 + (ys[4] - ys[1]) * j / 32 AS y
          FROM frame, range(33) AS columns(i), range(33) AS rows(j))
    WHERE is_finite_geometry(reproject(ST_Point(x, y), crs, 'EPSG:4326'))
    WINDOW frame_places AS (PARTITION BY crs, xs, ys)
), centre AS (
    SELECT crs, xs, ys, nearest.x AS x, nearest.y AS y
    -- Of places that are equally near, always the same: the footprint must not depend on the order of the rows.
    FROM (SELECT crs, xs, ys, arg_min({'x': x, 'y': y}, [(i - mean_i) ** 2 + (j - mean_j) ** 2, i, j]) AS nearest
          FROM visible_place GROUP BY crs, xs, ys)
), border AS (
    SELECT crs, xs, ys, x, y, edge * 128 + k AS place, xs[edge + 1] + (xs[edge + 2] - xs[edge + 1]) * k / 128 - x AS dx,
           ys[edge + 1] + (ys[edge + 2] - ys[edge + 1]) * k / 128 - y AS dy
    FROM centre, range(4) AS edges(edge), range(128) AS points(k)
), bisection AS (
    SELECT *, CASE WHEN is_finite_geometry(reproject(ST_Point(x + dx, y + dy), crs, 'EPSG:4326')) THEN 1.0 ELSE 0.0 END::DOUBLE AS inside,
           1.0::DOUBLE AS outside, 0 AS step
    FROM border
    UNION ALL SELECT * EXCLUDE (half, is_visible) REPLACE (CASE WHEN is_visible THEN half ELSE inside END AS inside,
                                                           CASE WHEN is_visible THEN outside ELSE half END AS outside, step + 1 AS step)
    FROM (SELECT *, (inside + outside) / 2 AS half,
                 is_finite_geometry(reproject(ST_Point(x + dx * half, y + dy * half), crs, 'EPSG:4326')) AS is_visible
          FROM bisection WHERE step < 24)
), visible_ring AS (
    SELECT crs, xs, ys, list(ST_X(place_lonlat) ORDER BY place) AS ring_lons, list(ST_Y(place_lonlat) ORDER BY place) AS lats,
           list(x + dx * inside ORDER BY place) AS visible_xs, list(y + dy * inside ORDER BY place) AS visible_ys
    FROM (SELECT *, reproject(ST_Point(x + dx * inside, y + dy * inside), crs, 'EPSG:4326') AS place_lonlat FROM bisection WHERE step = 24)
    GROUP BY crs, xs, ys
), with_poles AS (
    -- PROJ gives some places on the far side coordinates, too.
    SELECT *, lon_turns(ring_lons) AS turns,
           coalesce(ST_Contains(make_polygon(visible_xs, visible_ys), north_pole) AND is_expressible(ST_Point(0, 90), crs), false) AS sees_north_pole,
           coalesce(ST_Contains(make_polygon(visible_xs, visible_ys), south_pole) AND is_expressible(ST_Point(0, -90), crs), false) AS sees_south_pole
    FROM visible_ring JOIN frame USING (crs, xs, ys)
), with_lons AS (
    SELECT *, [ring_lons[i] + coalesce(list_sum(turns[1:i - 1]), 0.0) for i in range(1, len(ring_lons) + 1)] AS lons,
           CASE WHEN sees_north_pole THEN 90.0 ELSE -90.0 END AS pole_lat
    FROM with_poles
    -- A map of the globe has its poles and the antimeridian twice on its border: such a frame spans the globe.
    WHERE crs_is_partial OR NOT (sees_north_pole OR sees_south_pole OR max_lon_step(ring_lons) > 180)
)
SELECT crs, xs, ys, lons, lats, sees_north_pole, sees_south_pole, split_at_antimeridian(CASE
    WHEN sees_north_pole AND sees_south_pole THEN ST_MakeEnvelope(-180, -90, 180, 90)
    WHEN abs(list_sum(turns)) = 360
    THEN make_polygon(lons || [lons[1] + list_sum(turns), lons[1] + list_sum(turns), lons[1]], lats || [lats[1], pole_lat, pole_lat])
    ELSE make_polygon(lons, lats) END) AS footprint
FROM with_lons;

-- The footprint of a frame around a pole is the area between its ring, made continuous, and the pole's parallel.
INSERT INTO raster_version_visible_ring BY NAME
WITH polar_ring AS (
    SELECT DISTINCT crs, xs, ys, lons, lats, lon_turns(lons) AS turns, CASE WHEN has_north_pole THEN 90.0 ELSE -90.0 END AS pole_lat
    FROM raster_version_frame_ring WHERE is_finite AND has_north_pole <> has_south_pole
), continuous_ring AS (
    SELECT * REPLACE ([lons[i] + coalesce(list_sum(turns[1:i - 1]), 0.0) for i in range(1, len(lons) + 1)] AS lons) FROM polar_ring
    WHERE abs(list_sum(turns)) = 360
)
SELECT crs, xs, ys, split_at_antimeridian(make_polygon(
    lons || [lons[1] + list_sum(turns), lons[1] + list_sum(turns), lons[1]], lats || [lats[1], pole_lat, pole_lat])) AS footprint
FROM continuous_ring;
