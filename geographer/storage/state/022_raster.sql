-- 022_raster.sql: the versions of each raster; its outline in its own CRS is exact, its geometry in degrees finds candidates
-- needs: chain_raster_change, raster_version_frame_ring, raster_version_visible_ring, macros.sql · makes: new versions in state.raster,
-- dropped temp tables raster_version, raster_version_footprint, raster_version_frame, raster_version_side, raster_version_inner_scale
CREATE OR REPLACE TEMP TABLE raster_version AS
WITH ring_lonlat AS (
    SELECT frame_ring.* REPLACE (
               coalesce(visible.lons, frame_ring.lons) AS lons, coalesce(visible.lats, frame_ring.lats) AS lats,
               coalesce(sees_north_pole, has_north_pole) AS has_north_pole, coalesce(sees_south_pole, has_south_pole) AS has_south_pole,
               is_finite OR visible.lons IS NOT NULL AS is_finite),
           visible.lons IS NOT NULL AS leaves_globe, visible.footprint AS visible_footprint,
           crs_is_partial AND NOT is_finite AND visible.lons IS NULL AS is_off_globe
    FROM raster_version_frame_ring AS frame_ring LEFT JOIN raster_version_visible_ring AS visible USING (crs, xs, ys)
), continuous_ring AS (
    SELECT * REPLACE (make_lons_continuous(lons, crosses) AS lons, make_lons_continuous([middle_lon], crosses)[1] AS middle_lon)
    FROM (SELECT * EXCLUDE (xs, ys), NOT leaves_globe AND max_lon_step(lons) > 180 AS crosses FROM ring_lonlat)
), ring_bounds AS (
    SELECT *, list_min(lons) AS west, list_max(lons) AS east,
           CASE WHEN has_south_pole OR NOT is_finite THEN -90 ELSE list_min(lats) END AS south,
           CASE WHEN has_north_pole OR NOT is_finite THEN 90 ELSE list_max(lats) END AS north
    FROM continuous_ring
)
-- The ring has 16 points an edge, and the sagitta grows with the square of the length: hence / 256. Near the limb, where a ring that
-- leaves the globe was found in 512 directions only, a step of one is up to 10 degrees.
SELECT *, has_north_pole OR has_south_pole OR NOT is_finite OR east - west > 180 AS spans_globe,
       CASE WHEN leaves_globe THEN 10
            ELSE max_edge_sagitta(least(east - west, 360), north - south, greatest(abs(south), abs(north))) / 256 + 1e-5 END AS pad,
       is_lonlat AND (xmin < -180 OR xmax > 180) AS crosses_180,
       crs_is_partial AND (leaves_globe OR has_north_pole OR has_south_pole OR east - west > 20 OR north - south > 20) AS reaches_limb
FROM ring_bounds;

-- A footprint with a pole on its ring is the area between the ring, its points sorted by longitude, and the pole's parallel.
CREATE OR REPLACE TEMP TABLE raster_version_footprint AS
WITH with_polygon AS (
    SELECT *, list_sort(list_zip(lons, lats)) AS ring_by_lon, CASE
        WHEN is_off_globe OR leaves_globe THEN NULL
        WHEN is_parallelogram THEN make_polygon(lons, lats)
        WHEN crosses THEN to_lon_0_360(outline, crs)
        ELSE reproject(outline, crs, 'EPSG:4326') END AS polygon,
        CASE WHEN has_north_pole THEN 90.0 ELSE -90.0 END AS pole_lat
    FROM raster_version
)
SELECT raster_key, CASE WHEN ST_IsValid(polygon) THEN polygon ELSE ST_CollectionExtract(ST_MakeValid(polygon), 3) END AS footprint
FROM (SELECT raster_key, CASE
    WHEN is_off_globe THEN ST_GeomFromText('POLYGON EMPTY')
    WHEN visible_footprint IS NOT NULL THEN visible_footprint
    WHEN NOT is_finite OR (has_north_pole AND has_south_pole) THEN ST_MakeEnvelope(-180, -90, 180, 90)
    WHEN has_north_pole OR has_south_pole THEN
        make_polygon([-180.0, -180.0] || [p[1] for p in ring_by_lon] || [180.0, 180.0],
                     [pole_lat, ring_by_lon[1][2]] || [p[2] for p in ring_by_lon] || [ring_by_lon[-1][2], pole_lat])
    WHEN west < -180 OR east > 180 OR south < -90 OR north > 90 THEN split_at_antimeridian(polygon)
    ELSE polygon END AS polygon
FROM with_polygon);

-- Approximate u and v by linear functions of longitude and latitude. The vectors (du_lon, du_lat) and (dv_lon, dv_lat),
-- half the mean of two opposite edges, are the change of longitude and latitude per unit of u and v; the inverse of
-- that 2 x 2 matrix gives the coefficients. The constant terms centre the residuals on the ring and in the middle, and
-- `max_residual` is the largest of these.
CREATE OR REPLACE TEMP TABLE raster_version_frame AS
WITH frame_vector AS (
    SELECT raster_key, lons, lats, middle_lon, middle_lat, (lons[17] + lons[33] - lons[1] - lons[49]) / 4 AS du_lon,
           (lats[17] + lats[33] - lats[1] - lats[49]) / 4 AS du_lat,
           (lons[33] + lons[49] - lons[1] - lons[17]) / 4 AS dv_lon,
           (lats[33] + lats[49] - lats[1] - lats[17]) / 4 AS dv_lat
    FROM raster_version WHERE NOT spans_globe AND NOT leaves_globe
), coefficient AS (
    SELECT *, dv_lat / determinant AS frame_u_lon, -dv_lon / determinant AS frame_u_lat,
           -du_lat / determinant AS frame_v_lon, du_lon / determinant AS frame_v_lat
    FROM (SELECT *, du_lon * dv_lat - du_lat * dv_lon AS determinant FROM frame_vector)
    WHERE determinant <> 0
), residual AS (
    SELECT *, linear_residuals(lons, lats, frame_u_lon, frame_u_lat, us) || [frame_u_lon * middle_lon + frame_u_lat * middle_lat] AS u_residuals,
           linear_residuals(lons, lats, frame_v_lon, frame_v_lat, vs) || [frame_v_lon * middle_lon + frame_v_lat * middle_lat] AS v_residuals
    FROM coefficient,
         (SELECT densify_coords([-1.0, 1.0, 1.0, -1.0, -1.0]) AS us, densify_coords([-1.0, -1.0, 1.0, 1.0, -1.0]) AS vs)
)
SELECT raster_key, middle_lon, middle_lat,
       frame_u_lon, frame_u_lat, -(list_min(u_residuals) + list_max(u_residuals)) / 2 AS frame_u_0,
       frame_v_lon, frame_v_lat, -(list_min(v_residuals) + list_max(v_residuals)) / 2 AS frame_v_0,
       greatest(list_max(u_residuals) - list_min(u_residuals), list_max(v_residuals) - list_min(v_residuals)) / 2 AS max_residual
FROM residual;

-- The sides of each outline in its frame: the distance p * u + q * v + r from each is positive inside. They are those of a convex outline
-- with four corners, or else those of the frame. A distance has at most the error of u and v, because |p| + |q| = 1. Sides that are
-- moved outwards by 1 meet at a corner moved by (du, dv): a point whose distances are all above -reach has |u| and |v| below 1.5.
CREATE OR REPLACE TEMP TABLE raster_version_side AS
WITH corner AS (
    SELECT raster_key, is_parallelogram,
           [2 * (x - xmin) / (xmax - xmin) - 1 for x in outline_xs] AS us, [2 * (y - ymin) / (ymax - ymin) - 1 for y in outline_ys] AS vs
    FROM raster_version
), turn AS (
    SELECT *, [(us[i + 1] - us[i]) * (vs[i % 4 + 2] - vs[i + 1]) - (vs[i + 1] - vs[i]) * (us[i % 4 + 2] - us[i + 1]) for i in range(1, 5)] AS turns
    FROM corner
), frame_corner AS (
    SELECT raster_key, is_parallelogram OR is_quadrilateral AS has_four_sides,
           CASE WHEN is_quadrilateral THEN us ELSE [-1.0, 1.0, 1.0, -1.0, -1.0] END AS us,
           CASE WHEN is_quadrilateral THEN vs ELSE [-1.0, -1.0, 1.0, 1.0, -1.0] END AS vs,
           CASE WHEN is_quadrilateral THEN sign(turns[1]) ELSE 1.0 END AS direction
    FROM (SELECT *, NOT is_parallelogram AND coalesce(list_min(turns) > 1e-6 OR list_max(turns) < -1e-6, false) AS is_quadrilateral FROM turn)
), side AS (
    SELECT raster_key, has_four_sides, us, vs, [direction * (vs[i] - vs[i + 1]) / (abs(us[i + 1] - us[i]) + abs(vs[i + 1] - vs[i])) for i in range(1, 5)] AS ps,
           [direction * (us[i + 1] - us[i]) / (abs(us[i + 1] - us[i]) + abs(vs[i + 1] - vs[i])) for i in range(1, 5)] AS qs
    FROM frame_corner
), moved_corner AS (
    SELECT raster_key, [(qs[i] - qs[i % 4 + 1]) / (ps[i] * qs[i % 4 + 1] - qs[i] * ps[i % 4 + 1]) for i in range(1, 5)] AS dus,
           [(ps[i % 4 + 1] - ps[i]) / (ps[i] * qs[i % 4 + 1] - qs[i] * ps[i % 4 + 1]) for i in range(1, 5)] AS dvs
    FROM side
)
SELECT raster_key, has_four_sides, ps, qs, [-ps[i] * us[i] - qs[i] * vs[i] for i in range(1, 5)] AS rs,
       0.5 / list_max([abs(d) for d in dus || dvs]) AS reach
FROM side JOIN moved_corner USING (raster_key);

-- For an outline that has not four sides: the largest factor by which its frame can be scaled about the middle and
-- stay inside the outline, by bisection. Chips hold too few features to be worth it.
CREATE OR REPLACE TEMP TABLE raster_version_inner_scale AS
WITH RECURSIVE bisection AS (
    SELECT raster_key, outline, (xmin + xmax) / 2 AS x, (ymin + ymax) / 2 AS y, (xmax - xmin) / 2 AS half_width,
           (ymax - ymin) / 2 AS half_height, 0.0::DOUBLE AS inside, 1.0::DOUBLE AS outside, 0 AS step
    FROM raster_version JOIN raster_version_frame USING (raster_key) JOIN raster_version_side USING (raster_key)
    WHERE NOT has_four_sides AND parent_id IS NULL
    UNION ALL SELECT raster_key, outline, x, y, half_width, half_height,
           CASE WHEN fits THEN half ELSE inside END, CASE WHEN fits THEN outside ELSE half END, step + 1
    FROM (SELECT *, (inside + outside) / 2 AS half,
                 ST_Contains(outline, ST_MakeEnvelope(x - half_width * half, y - half_height * half,
                                                      x + half_width * half, y + half_height * half)) AS fits
          FROM bisection WHERE step < 10)
)
SELECT raster_key, inside AS inner_scale FROM bisection WHERE step = 10;

-- Error bounds of the distances. The error of the linear (u, v) grows with the square of the distance from the middle, so the largest
-- sampled residual is multiplied by 1.25 inside the frame, and by 4 up to 1.5 times the frame. A point whose distances are all above
-- inside_margin is inside the outline; one with a distance below -outside_margin, and all above -reach, is outside. `one_metre` is
-- 1e-5 degrees in units of u and v. `inner_bbox` is the largest box with the aspect ratio of the outer one, about the middle, whose
-- corners are inside.
INSERT INTO state.raster BY NAME
WITH with_frame AS (
    SELECT *, (east - west) / 2 AS half_width, (north - south) / 2 AS half_height,
           1e-5 * (abs(frame_u_lon) + abs(frame_u_lat) + abs(frame_v_lon) + abs(frame_v_lat)) AS one_metre,
           CASE WHEN has_four_sides THEN 1 ELSE inner_scale END AS scale
    FROM raster_version JOIN raster_version_footprint USING (raster_key) JOIN raster_version_side USING (raster_key)
    LEFT JOIN raster_version_frame USING (raster_key) LEFT JOIN raster_version_inner_scale USING (raster_key)
), with_margin AS (
    SELECT *, CASE WHEN max_residual < 0.05 THEN 1 - scale + 1.25 * max_residual + one_metre END AS inside_margin,
           CASE WHEN max_residual < 0.05 THEN 4 * max_residual + one_metre END AS outside_margin
    FROM with_frame
), with_side AS (
    SELECT * EXCLUDE (reach), CASE WHEN max_residual < 0.05 THEN reach END AS reach,
           [ps[i] * frame_u_lon + qs[i] * frame_v_lon for i in range(1, 5)] AS side_lons,
           [ps[i] * frame_u_lat + qs[i] * frame_v_lat for i in range(1, 5)] AS side_lats,
           [ps[i] * frame_u_0 + qs[i] * frame_v_0 + rs[i] for i in range(1, 5)] AS side_constants
    FROM with_margin
), with_inner_box AS (
    SELECT *, list_min([(side_lons[i] * middle_lon + side_lats[i] * middle_lat + side_constants[i] - inside_margin)
                        / (abs(side_lons[i]) * half_width + abs(side_lats[i]) * half_height) for i in range(1, 5)]) AS inner_box_scale
    FROM with_side
)
SELECT raster_key, raster_id, collection, path, storage, crs, width, height, transform, bands, dtype,
       nodata::DOUBLE AS nodata, acquired::TIMESTAMP AS acquired, size, md5, sha256, pixel_digest, outline, axis_aligned,
       splits_at_antimeridian, crosses_180, crs_is_partial, reaches_limb, footprint, xmin, ymin, xmax, ymax,
       -- A raster that is off the globe has no box, so it has no edges.
       CASE WHEN is_off_globe THEN NULL WHEN spans_globe THEN -180 ELSE west - pad END AS bbox_xmin, south - pad AS bbox_ymin,
       CASE WHEN is_off_globe THEN NULL WHEN spans_globe THEN 180 ELSE east + pad END AS bbox_xmax, north + pad AS bbox_ymax,
       CASE WHEN spans_globe THEN NULL WHEN east > 170 THEN -360.0 WHEN west < -170 THEN 360.0 END AS lon_shift,
       middle_lon - half_width * inner_box_scale AS inner_bbox_xmin, middle_lat - half_height * inner_box_scale AS inner_bbox_ymin,
       middle_lon + half_width * inner_box_scale AS inner_bbox_xmax, middle_lat + half_height * inner_box_scale AS inner_bbox_ymax,
       frame_u_lon, frame_u_lat, frame_u_0, frame_v_lon, frame_v_lat, frame_v_0,
       side_lons[1] AS side_1_lon, side_lats[1] AS side_1_lat, side_constants[1] AS side_1_0,
       side_lons[2] AS side_2_lon, side_lats[2] AS side_2_lat, side_constants[2] AS side_2_0,
       side_lons[3] AS side_3_lon, side_lats[3] AS side_3_lat, side_constants[3] AS side_3_0,
       side_lons[4] AS side_4_lon, side_lats[4] AS side_4_lat, side_constants[4] AS side_4_0,
       inside_margin, outside_margin, reach,
       parent_id, col, "row", recipe, feature_id, properties, row_digest, position AS valid_from, until AS valid_to
FROM with_inner_box
ORDER BY raster_key;

DROP TABLE raster_version;
DROP TABLE raster_version_frame_ring;
DROP TABLE raster_version_visible_ring;
DROP TABLE raster_version_footprint;
DROP TABLE raster_version_frame;
DROP TABLE raster_version_side;
DROP TABLE raster_version_inner_scale;
