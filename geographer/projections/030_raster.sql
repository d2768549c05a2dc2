-- 030_raster.sql: the versions of each raster; its outline in its own CRS is exact, its boxes in degrees are candidates
UPDATE state.raster SET valid_to = change.position
FROM (SELECT raster_id, min(position) AS position FROM log.raster_change
      WHERE position > $after AND position <= $up_to AND change <> 'added' GROUP BY raster_id) AS change
WHERE state.raster.raster_id = change.raster_id AND valid_to = open_end();

CREATE OR REPLACE TEMP TABLE new_raster AS
WITH version AS (
    SELECT *, coalesce(lead(position) OVER (PARTITION BY raster_id ORDER BY position), open_end()) AS until
    FROM log.raster_change
    WHERE position > $after AND position <= $up_to
), shaped AS (
    SELECT * REPLACE (ST_GeomFromWKB(outline) AS outline, transform::DOUBLE[] AS transform),
           (position << 32) + ordinal AS raster_key
    FROM version WHERE change <> 'removed'
), boxed AS (
    SELECT *, ST_XMin(outline) AS xmin, ST_YMin(outline) AS ymin, ST_XMax(outline) AS xmax, ST_YMax(outline) AS ymax,
           ST_NPoints(outline) = 5 AND ST_Equals(outline, ST_Envelope(outline)) AS boxed
    FROM shaped
), pole_of AS (
    -- Where the poles lie in each CRS that is not degrees already.
    SELECT crs, pole, into_crs(ST_Point(0, pole), 'EPSG:4326', crs) AS pole_point
    FROM (SELECT DISTINCT crs FROM boxed WHERE crs <> 'EPSG:4326'), (VALUES (90.0::DOUBLE), (-90.0)) AS earth (pole)
), polar AS (
    SELECT raster_key, any_value(pole) AS pole
    FROM boxed JOIN pole_of USING (crs) WHERE ST_Intersects(outline, pole_point) GROUP BY raster_key
), hulled AS (
    -- The hull holds the outline, and has few vertices even where valid pixels draw a ragged edge.
    SELECT boxed.*, pole, ST_ExteriorRing(ST_ConvexHull(outline)) AS hull FROM boxed LEFT JOIN polar USING (raster_key)
), ringed AS MATERIALIZED (
    SELECT *, into_crs(line_of(densified(xs), densified(ys)), crs, 'EPSG:4326') AS ring,
           into_crs(ST_Point(xmax, ymax), crs, 'EPSG:4326') AS corner
    FROM (SELECT *, xs_of(hull) AS xs, ys_of(hull) AS ys FROM hulled)
), located AS MATERIALIZED (
    -- Degrees are recognised by a corner that longitude/latitude leaves where it is.
    SELECT *, abs(ST_Y(corner) - ymax) < 0.01
              AND abs((ST_X(corner) - xmax) - 360 * round((ST_X(corner) - xmax) / 360)) < 0.01 AS in_degrees,
           xs_of(ring) AS lons, ys_of(ring) AS lats
    FROM ringed
), turned AS (
    -- Across the antimeridian, the shorter way round is the one with negative longitudes moved by a turn.
    SELECT *, [CASE WHEN lon < 0 THEN lon + 360 ELSE lon END for lon in lons] AS lons_east
    FROM located
), unwrapped AS (
    SELECT * REPLACE (
        CASE WHEN list_max(lons_east) - list_min(lons_east) < list_max(lons) - list_min(lons) - 1e-9
             THEN lons_east ELSE lons END AS lons)
    FROM turned
), spanned AS (
    SELECT *, CASE WHEN pole IS NULL THEN list_min(lons) ELSE -180.0 END AS west,
           CASE WHEN pole IS NULL THEN list_max(lons) ELSE 180.0 END AS east,
           least(list_min(lats), pole) AS south, greatest(list_max(lats), pole) AS north
    FROM unwrapped
)
SELECT *, bulge(east - west, north - south, greatest(abs(south), abs(north))) / 256 + 1e-7 AS pad,
       in_degrees AND (xmin < -180 OR xmax > 180) AS wraps
FROM spanned;

CREATE OR REPLACE TEMP TABLE footprint_of_new AS
SELECT raster_key, CASE
    WHEN pole IS NOT NULL THEN
        polygon_of([-180.0, -180.0] || [p[1] for p in around] || [180.0, 180.0],
                   [pole, around[1][2]] || [p[2] for p in around] || [around[-1][2], pole])
    WHEN west < -180 OR east > 180 THEN ST_CollectionExtract(ST_Collect(list_filter(
        [turn_of(polygon_of(lons, lats), turn) for turn in [-540.0, -180.0, 180.0]], lambda g: NOT ST_IsEmpty(g))), 3)
    WHEN boxed THEN polygon_of(lons, lats)
    ELSE into_crs(outline, crs, 'EPSG:4326') END AS footprint
FROM (SELECT *, list_sort(list_zip(lons, lats)) AS around FROM new_raster);

-- The largest box about the footprint's middle that still lies inside it, by bisection: what lies in it needs no more
-- than a comparison. Chips hold few features, so it is not worth while for them.
CREATE OR REPLACE TEMP TABLE inner_box_of_new AS
WITH RECURSIVE halved AS (
    SELECT raster_key, footprint, (west + east) / 2 AS x, (south + north) / 2 AS y, (east - west) / 2 AS half_width,
           (north - south) / 2 AS half_height, pad, 0.0::DOUBLE AS inside, 1.0::DOUBLE AS outside, 0 AS step
    FROM new_raster JOIN footprint_of_new USING (raster_key)
    WHERE parent_id IS NULL AND pole IS NULL AND west >= -180 AND east <= 180
    UNION ALL
    SELECT raster_key, footprint, x, y, half_width, half_height, pad,
           CASE WHEN fits THEN half ELSE inside END, CASE WHEN fits THEN outside ELSE half END, step + 1
    FROM (SELECT *, (inside + outside) / 2 AS half,
                 ST_Contains(footprint, ST_MakeEnvelope(x - half_width * half, y - half_height * half,
                                                        x + half_width * half, y + half_height * half)) AS fits
          FROM halved WHERE step < 10)
)
SELECT raster_key, x - half_width * inside + pad AS inner_xmin, y - half_height * inside + pad AS inner_ymin,
       x + half_width * inside - pad AS inner_xmax, y + half_height * inside - pad AS inner_ymax
FROM halved WHERE step = 10;

INSERT INTO state.raster BY NAME
SELECT raster_key, raster_id, collection, path, storage, crs, width, height, transform, bands, dtype,
       nodata::DOUBLE AS nodata, acquired::TIMESTAMP AS acquired, size, md5, sha256, pixel_digest, outline, boxed, wraps,
       footprint, xmin, ymin, xmax, ymax,
       greatest(west - pad, -180) AS box_xmin, south - pad AS box_ymin, least(east + pad, 180) AS box_xmax,
       north + pad AS box_ymax,
       CASE WHEN east > 180 THEN -180.0 WHEN west < -180 THEN west + 360 - pad END AS beyond_xmin,
       CASE WHEN east > 180 THEN east - 360 + pad WHEN west < -180 THEN 180.0 END AS beyond_xmax,
       inner_xmin, inner_ymin, inner_xmax, inner_ymax,
       parent_id, col, "row", recipe, feature_id, properties, row_digest, position AS valid_from, until AS valid_to
FROM new_raster JOIN footprint_of_new USING (raster_key) LEFT JOIN inner_box_of_new USING (raster_key)
ORDER BY raster_key;

DROP TABLE new_raster;
DROP TABLE footprint_of_new;
DROP TABLE inner_box_of_new;

INSERT INTO state.own_column
SELECT 'raster', own.key, own.value->>'$', own.rowid, position
FROM log.event, json_each(payload, '$.columns') AS own
WHERE kind IN ('rasters_added', 'catalogue_added') AND position > $after AND position <= $up_to;
