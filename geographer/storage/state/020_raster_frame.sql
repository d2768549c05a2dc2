-- 020_raster_frame.sql: the frame of each new version of a raster: its ring in its own CRS and in longitude/latitude
-- needs: chain_raster_change, macros.sql, $after, $up_to · makes: temp tables raster_version_frame_ring, raster_version_visible_ring (empty)
-- The frame of a raster is its outline if that is a parallelogram, otherwise the box around its outline in the raster's
-- CRS. The frame's own coordinates (u, v) run from -1 to 1 along its edges:
--
--     4 (-1, 1) ---- 3 (1, 1)      The ring is the frame's border as 64 points (16 an edge, counted from
--     |     v ^            |       corner 1) in longitude/latitude: points 1, 17, 33 and 49 are corners 1 to 4.
--     |       +--> u       |
--     1 (-1, -1) --- 2 (1, -1)
CREATE OR REPLACE TEMP TABLE raster_version_frame_ring AS
WITH version AS (
    SELECT *, coalesce(lead(position) OVER (PARTITION BY raster_id ORDER BY position), open_end()) AS until
    FROM chain_raster_change
    WHERE position > $after AND position <= $up_to
), parsed_version AS (
    SELECT * REPLACE (ST_GeomFromWKB(outline) AS outline, transform::DOUBLE[] AS transform),
           (position << 32) + ordinal AS raster_key
    FROM version WHERE change <> 'removed'
), bounds AS (
    SELECT *, ST_XMin(outline) AS xmin, ST_YMin(outline) AS ymin, ST_XMax(outline) AS xmax, ST_YMax(outline) AS ymax,
           CASE WHEN ST_GeometryType(outline) = 'POLYGON' AND ST_NPoints(outline) = 5
                THEN ST_ExteriorRing(outline) END AS four_edges
    FROM parsed_version
), corners AS (
    SELECT *, vertex_xs(four_edges) AS outline_xs, vertex_ys(four_edges) AS outline_ys FROM bounds
), shape AS (
    SELECT *, coalesce(abs(outline_xs[1] - outline_xs[2] + outline_xs[3] - outline_xs[4]) <= 1e-9 * (xmax - xmin)
                       AND abs(outline_ys[1] - outline_ys[2] + outline_ys[3] - outline_ys[4]) <= 1e-9 * (ymax - ymin), false) AS is_parallelogram
    FROM corners
), place AS (
    -- Both poles, both ends of the equator, and places all over the globe.
    SELECT list_transform([[0, 90], [0, -90], [180, 0], [-180, 0]] || list([lon, lat]), lambda place: ST_Point(place[1]::DOUBLE, place[2]::DOUBLE)) AS places
    FROM range(-175, 180, 25) AS lons(lon), range(-85, 90, 10) AS lats(lat)
), place_in_crs AS MATERIALIZED (
    SELECT crs, places, [part.geom for part in ST_Dump(reproject(ST_Collect(places), 'EPSG:4326', crs))] AS points
    FROM (SELECT DISTINCT crs FROM parsed_version), place
), place_again AS MATERIALIZED (
    SELECT *, [part.geom for part in ST_Dump(reproject(ST_Collect(list_append(
        [CASE WHEN is_finite_geometry(point) THEN point ELSE ST_Point(1, 1) END for point in points], ST_Point(1, 1))), crs, 'EPSG:4326'))] AS back
    FROM place_in_crs
), crs_property AS (
    -- A pole has one location in a projected CRS, so a frame can enclose it there.
    SELECT crs, is_lonlat, is_lonlat OR abs(ST_X(points[3]) - ST_X(points[4])) > 1 AS splits_at_antimeridian,
           CASE WHEN NOT is_lonlat THEN points[1] END AS north_pole, CASE WHEN NOT is_lonlat THEN points[2] END AS south_pole,
           NOT is_lonlat AND NOT coalesce(list_min([
               CASE WHEN is_finite_geometry(points[i]) AND is_finite_geometry(back[i]) THEN is_same_place(places[i], back[i]) ELSE false END
               for i in range(5, len(places) + 1)]), false) AS crs_is_partial
    FROM (SELECT *, abs(ST_X(back[-1]) - 1) < 0.01 AND abs(ST_Y(back[-1]) - 1) < 0.01 AS is_lonlat FROM place_again)
), frame_ring AS MATERIALIZED (
    SELECT * EXCLUDE (four_edges), is_parallelogram AND ST_Equals(outline, ST_Envelope(outline)) AS axis_aligned,
           coalesce(ST_Intersects(frame, north_pole), false) AS has_north_pole,
           coalesce(ST_Intersects(frame, south_pole), false) AS has_south_pole,
           reproject(make_line(densify_coords(xs), densify_coords(ys)), crs, 'EPSG:4326') AS ring,
           reproject(ST_Point((xs[1] + xs[3]) / 2, (ys[1] + ys[3]) / 2), crs, 'EPSG:4326') AS middle
    FROM (SELECT *, CASE WHEN is_parallelogram THEN outline_xs ELSE [xmin, xmax, xmax, xmin, xmin] END AS xs,
                 CASE WHEN is_parallelogram THEN outline_ys ELSE [ymin, ymin, ymax, ymax, ymin] END AS ys,
                 CASE WHEN is_parallelogram THEN outline ELSE ST_Envelope(outline) END AS frame
          FROM shape JOIN crs_property USING (crs))
)
SELECT *, vertex_xs(ring) AS lons, vertex_ys(ring) AS lats, ST_X(middle) AS middle_lon, ST_Y(middle) AS middle_lat,
       isfinite(list_sum(lons) + list_sum(lats)) AS is_finite
FROM frame_ring;

-- See 021_visible_ring.sql. By frame; longitudes are continuous.
CREATE OR REPLACE TEMP TABLE raster_version_visible_ring (
    crs VARCHAR, xs DOUBLE[], ys DOUBLE[], lons DOUBLE[], lats DOUBLE[], sees_north_pole BOOLEAN, sees_south_pole BOOLEAN, footprint GEOMETRY
);
