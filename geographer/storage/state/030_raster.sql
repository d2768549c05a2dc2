-- 030_raster.sql: the versions of each raster; its outline in its own CRS is exact, what is in degrees finds candidates
UPDATE state.raster SET valid_to = change.position
FROM (SELECT raster_id, min(position) AS position FROM log.raster_change
      WHERE position > $after AND position <= $up_to AND change <> 'added' GROUP BY raster_id) AS change
WHERE state.raster.raster_id = change.raster_id AND valid_to = open_end();

-- The frame of a raster is its outline if this is a parallelogram, else the box around its outline. Along its edges run
-- the coordinates u and v, from -1 to 1. Its ring is 64 points on its edges, in longitude/latitude.
CREATE OR REPLACE TEMP TABLE new_raster AS
WITH version AS (
    SELECT *, coalesce(lead(position) OVER (PARTITION BY raster_id ORDER BY position), open_end()) AS until
    FROM log.raster_change
    WHERE position > $after AND position <= $up_to
), shaped AS (
    SELECT * REPLACE (ST_GeomFromWKB(outline) AS outline, transform::DOUBLE[] AS transform),
           (position << 32) + ordinal AS raster_key
    FROM version WHERE change <> 'removed'
), bounded AS (
    SELECT *, ST_XMin(outline) AS xmin, ST_YMin(outline) AS ymin, ST_XMax(outline) AS xmax, ST_YMax(outline) AS ymax,
           CASE WHEN ST_GeometryType(outline) = 'POLYGON' AND ST_NPoints(outline) = 5
                THEN ST_ExteriorRing(outline) END AS four_edges
    FROM shaped
), cornered AS (
    SELECT *, xs_of(four_edges) AS xs, ys_of(four_edges) AS ys FROM bounded
), recognised AS (
    SELECT *, coalesce(abs(xs[1] - xs[2] + xs[3] - xs[4]) <= 1e-9 * (xmax - xmin)
                       AND abs(ys[1] - ys[2] + ys[3] - ys[4]) <= 1e-9 * (ymax - ymin), false) AS parallelogram
    FROM cornered
), about_crs AS (
    -- Of each CRS: is it in degrees, so that longitude/latitude stays as it is; if not, where do the poles lie? And do
    -- the two sides of the antimeridian lie apart?
    SELECT crs, degrees, degrees OR apart_at_antimeridian(crs) AS torn,
           CASE WHEN NOT degrees THEN into_crs(ST_Point(0, 90), 'EPSG:4326', crs) END AS north_pole,
           CASE WHEN NOT degrees THEN into_crs(ST_Point(0, -90), 'EPSG:4326', crs) END AS south_pole
    FROM (SELECT crs, in_degrees(crs) AS degrees FROM (SELECT DISTINCT crs FROM shaped))
), ringed AS MATERIALIZED (
    SELECT * EXCLUDE (four_edges, xs, ys), parallelogram AND ST_Equals(outline, ST_Envelope(outline)) AS boxed,
           coalesce(ST_Intersects(hull, north_pole), false) AS holds_north,
           coalesce(ST_Intersects(hull, south_pole), false) AS holds_south,
           into_crs(line_of(densified(xs), densified(ys)), crs, 'EPSG:4326') AS ring,
           into_crs(ST_Point((xs[1] + xs[3]) / 2, (ys[1] + ys[3]) / 2), crs, 'EPSG:4326') AS middle
    FROM (SELECT * REPLACE (CASE WHEN parallelogram THEN xs ELSE [xmin, xmax, xmax, xmin, xmin] END AS xs,
                            CASE WHEN parallelogram THEN ys ELSE [ymin, ymin, ymax, ymax, ymin] END AS ys),
                 CASE WHEN parallelogram THEN outline ELSE ST_Envelope(outline) END AS hull
          FROM recognised JOIN about_crs USING (crs))
), located AS MATERIALIZED (
    SELECT *, xs_of(ring) AS lons, ys_of(ring) AS lats, ST_X(middle) AS middle_lon, ST_Y(middle) AS middle_lat FROM ringed
), turned AS (
    SELECT * REPLACE (CASE WHEN crossing THEN [CASE WHEN lon < 0 THEN lon + 360 ELSE lon END for lon in lons]
                      ELSE lons END AS lons,
                      CASE WHEN crossing AND middle_lon < 0 THEN middle_lon + 360 ELSE middle_lon END AS middle_lon)
    FROM (SELECT *, isfinite(list_sum(lons) + list_sum(lats)) AS finite, largest_step(lons) > 180 AS crossing FROM located)
), spanned AS (
    SELECT *, list_min(lons) AS west, list_max(lons) AS east,
           CASE WHEN holds_south OR NOT finite THEN -90 ELSE list_min(lats) END AS south,
           CASE WHEN holds_north OR NOT finite THEN 90 ELSE list_max(lats) END AS north
    FROM turned
)
SELECT *, holds_north OR holds_south OR NOT finite OR east - west > 180 AS round_the_globe,
       bulge(least(east - west, 360), north - south, greatest(abs(south), abs(north))) / 256 + 1e-5 AS pad,
       degrees AND (xmin < -180 OR xmax > 180) AS wraps
FROM spanned;

CREATE OR REPLACE TEMP TABLE footprint_of_new AS
WITH drawn AS (
    SELECT *, list_sort(list_zip(lons, lats)) AS around, CASE
        WHEN parallelogram THEN polygon_of(lons, lats)
        WHEN crossing THEN into_eastings(outline, crs)
        ELSE into_crs(outline, crs, 'EPSG:4326') END AS polygon,
        CASE WHEN holds_north THEN 90.0 ELSE -90.0 END AS pole
    FROM new_raster
)
SELECT raster_key, CASE
    WHEN NOT finite OR (holds_north AND holds_south) THEN ST_MakeEnvelope(-180, -90, 180, 90)
    WHEN holds_north OR holds_south THEN
        polygon_of([-180.0, -180.0] || [p[1] for p in around] || [180.0, 180.0],
                   [pole, around[1][2]] || [p[2] for p in around] || [around[-1][2], pole])
    WHEN west < -180 OR east > 180 OR south < -90 OR north > 90 THEN cut_at_antimeridian(polygon)
    ELSE polygon END AS footprint
FROM drawn;

-- u and v as linear functions of longitude and latitude, and by how much these miss what they are, which is a curve: it
-- is seen on the ring and in the middle.
CREATE OR REPLACE TEMP TABLE frame_of_new AS
WITH edge AS (
    SELECT raster_key, lons, lats, middle_lon, middle_lat, (lons[17] + lons[33] - lons[1] - lons[49]) / 4 AS along_u_lon,
           (lats[17] + lats[33] - lats[1] - lats[49]) / 4 AS along_u_lat,
           (lons[33] + lons[49] - lons[1] - lons[17]) / 4 AS along_v_lon,
           (lats[33] + lats[49] - lats[1] - lats[17]) / 4 AS along_v_lat
    FROM new_raster WHERE NOT round_the_globe
), slope AS (
    SELECT *, along_v_lat / determinant AS u_lon, -along_v_lon / determinant AS u_lat,
           -along_u_lat / determinant AS v_lon, along_u_lon / determinant AS v_lat
    FROM (SELECT *, along_u_lon * along_v_lat - along_u_lat * along_v_lon AS determinant FROM edge)
    WHERE determinant <> 0
), missed AS (
    SELECT *, linear(lons, lats, u_lon, u_lat, us) || [u_lon * middle_lon + u_lat * middle_lat] AS misses_of_u,
           linear(lons, lats, v_lon, v_lat, vs) || [v_lon * middle_lon + v_lat * middle_lat] AS misses_of_v
    FROM slope, (SELECT densified([-1.0, 1.0, 1.0, -1.0, -1.0]) AS us, densified([-1.0, -1.0, 1.0, 1.0, -1.0]) AS vs)
)
SELECT raster_key, middle_lon, middle_lat, u_lon, u_lat, -(list_min(misses_of_u) + list_max(misses_of_u)) / 2 AS u_0,
       v_lon, v_lat, -(list_min(misses_of_v) + list_max(misses_of_v)) / 2 AS v_0,
       greatest(list_max(misses_of_u) - list_min(misses_of_u), list_max(misses_of_v) - list_min(misses_of_v)) / 2 AS miss
FROM missed;

-- How large a box about the middle still lies inside an outline that is no parallelogram, by bisection. Chips hold few
-- features, so it is not worth while for them.
CREATE OR REPLACE TEMP TABLE inside_of_new AS
WITH RECURSIVE halved AS (
    SELECT raster_key, outline, (xmin + xmax) / 2 AS x, (ymin + ymax) / 2 AS y, (xmax - xmin) / 2 AS half_width,
           (ymax - ymin) / 2 AS half_height, 0.0::DOUBLE AS inside, 1.0::DOUBLE AS outside, 0 AS step
    FROM new_raster JOIN frame_of_new USING (raster_key) WHERE NOT parallelogram AND parent_id IS NULL
    UNION ALL
    SELECT raster_key, outline, x, y, half_width, half_height,
           CASE WHEN fits THEN half ELSE inside END, CASE WHEN fits THEN outside ELSE half END, step + 1
    FROM (SELECT *, (inside + outside) / 2 AS half,
                 ST_Contains(outline, ST_MakeEnvelope(x - half_width * half, y - half_height * half,
                                                      x + half_width * half, y + half_height * half)) AS fits
          FROM halved WHERE step < 10)
)
SELECT raster_key, inside FROM halved WHERE step = 10;

-- What a linear function misses grows with the square of the distance: a quarter more than was seen is allowed for within
-- the frame, and four times as much up to half of its size beyond. The inner box has the shape of the outer one, and
-- the size at which u or v comes to what is surely inside; in the middle, they are 0 but for what they miss.
INSERT INTO state.raster BY NAME
WITH framed AS (
    SELECT *, (east - west) / 2 AS half_width, (north - south) / 2 AS half_height,
           1e-5 * (abs(u_lon) + abs(u_lat) + abs(v_lon) + abs(v_lat)) AS metre
    FROM new_raster JOIN footprint_of_new USING (raster_key) LEFT JOIN frame_of_new USING (raster_key)
    LEFT JOIN inside_of_new USING (raster_key)
), sure AS (
    SELECT *, CASE WHEN miss < 0.05 THEN CASE WHEN parallelogram THEN 1 ELSE inside END - 1.25 * miss - metre END AS surely_in,
           CASE WHEN miss < 0.05 THEN 1 + 4 * miss + metre END AS surely_out
    FROM framed
), scaled AS (
    SELECT *, (surely_in - miss) / greatest(abs(u_lon) * half_width + abs(u_lat) * half_height,
                                            abs(v_lon) * half_width + abs(v_lat) * half_height) AS scale
    FROM sure
)
SELECT raster_key, raster_id, collection, path, storage, crs, width, height, transform, bands, dtype,
       nodata::DOUBLE AS nodata, acquired::TIMESTAMP AS acquired, size, md5, sha256, pixel_digest, outline, boxed, torn,
       wraps, footprint, xmin, ymin, xmax, ymax,
       CASE WHEN round_the_globe THEN -180 ELSE west - pad END AS box_xmin, south - pad AS box_ymin,
       CASE WHEN round_the_globe THEN 180 ELSE east + pad END AS box_xmax, north + pad AS box_ymax,
       CASE WHEN round_the_globe THEN NULL WHEN east > 170 THEN -360.0 WHEN west < -170 THEN 360.0 END AS turn,
       middle_lon - half_width * scale AS inner_xmin, middle_lat - half_height * scale AS inner_ymin,
       middle_lon + half_width * scale AS inner_xmax, middle_lat + half_height * scale AS inner_ymax,
       u_lon, u_lat, u_0, v_lon, v_lat, v_0, surely_in, surely_out,
       parent_id, col, "row", recipe, feature_id, properties, row_digest, position AS valid_from, until AS valid_to
FROM scaled
ORDER BY raster_key;

DROP TABLE new_raster;
DROP TABLE footprint_of_new;
DROP TABLE frame_of_new;
DROP TABLE inside_of_new;

INSERT INTO state.own_column
SELECT 'raster', own.key, own.value->>'$', own.rowid, position
FROM log.event, json_each(payload, if(ends_with(kind, '_imported'), '$.columns.raster', '$.columns')) AS own
WHERE kind IN ('rasters_added', 'rasters_downloaded', 'catalogue_added', 'geographer_imported', 'dataset_imported')
  AND position > $after AND position <= $up_to;
