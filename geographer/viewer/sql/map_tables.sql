-- map_tables.sql: every version of the features and rasters of a chain in map coordinates, and its splits, as tables in memory
-- needs: state.feature, state.raster, state.split, {schema} (formatted) · makes: macros map_x, map_y, map_geometry, wide (dropped), {schema} with feature, raster and split
-- Map coordinates are those of Web Mercator from 0 to 1, x to the east and y to the south. Latitudes beyond 85.05 degrees are at
-- the edge. `place_x`, `place_y` is the middle of the box; of what crosses the antimeridian, a point on it.
-- Of a small feature the state has the box around its edges, wider by 1e-9 degrees and the bend of an edge, which is far below a pixel
-- there; reading it saves the decoding of the geometry.
CREATE OR REPLACE TEMP MACRO map_x(longitude) AS (longitude + 180) / 360;
CREATE OR REPLACE TEMP MACRO map_y(latitude) AS
    0.5 - ln(tan(radians(45 + greatest(least(latitude, 85.05112877980659), -85.05112877980659) / 2))) / (2 * pi());

CREATE OR REPLACE TEMP MACRO map_geometry(geometry, south, north) AS
    CASE WHEN south < -85.06 OR north > 85.06
         THEN TRY(ST_Intersection(geometry, ST_MakeEnvelope(-180, -85.06, 180, 85.06))) ELSE geometry END;

CREATE SCHEMA {schema};

CREATE TABLE {schema}.feature AS
WITH bounds AS (
    SELECT feature_key AS key, feature_id AS id, class AS kind, valid_from, valid_to, geometry,
           CASE WHEN is_small THEN xmin + 1e-9 ELSE ST_XMin(geometry) END AS west,
           CASE WHEN is_small THEN xmax - 1e-9 ELSE ST_XMax(geometry) END AS east,
           CASE WHEN is_small THEN ymin + 1e-9 ELSE ST_YMin(geometry) END AS south,
           CASE WHEN is_small THEN ymax - 1e-9 ELSE ST_YMax(geometry) END AS north
    FROM (SELECT *, xmax - xmin < 0.1 AND ymax - ymin < 0.1 AND greatest(abs(ymin), abs(ymax)) < 80 AS is_small FROM state.feature)
), boxes AS (
    SELECT *, map_x(west) AS x0, map_y(north) AS y0, map_x(east) AS x1, map_y(south) AS y1 FROM bounds
)
SELECT key, id, kind, valid_from, valid_to, x0, y0, x1, y1,
       (x0 + x1) / 2 AS place_x, (y0 + y1) / 2 AS place_y,
       south > 85.05112877980659 OR north < -85.05112877980659 AS is_beyond,
       CASE WHEN greatest(east - west, north - south) > 1e-8 THEN map_geometry(geometry, south, north) END AS geometry
FROM boxes;

-- The wide ones are found without their geometries, which are long to read.
CREATE TEMP TABLE wide AS SELECT key FROM {schema}.feature WHERE x1 - x0 > 0.5;

UPDATE {schema}.feature SET place_x = map_x(ST_X(place)), place_y = map_y(ST_Y(place))
FROM (SELECT key AS wide_key, ST_PointOnSurface(geometry) AS place FROM {schema}.feature WHERE key IN (FROM wide))
WHERE key = wide_key AND place IS NOT NULL;

DROP TABLE wide;

-- A raster that is off the globe has an empty footprint, and no box.
CREATE TABLE {schema}.raster AS
WITH bounds AS (
    SELECT raster_key AS key, raster_id AS id, collection, parent_id, valid_from, valid_to,
           footprint AS geometry, ST_XMin(footprint) AS west, ST_XMax(footprint) AS east, ST_YMin(footprint) AS south,
           ST_YMax(footprint) AS north
    FROM state.raster
), boxes AS (
    SELECT *, map_x(west) AS x0, map_y(north) AS y0, map_x(east) AS x1, map_y(south) AS y1,
           CASE WHEN east - west > 180 THEN ST_PointOnSurface(geometry) END AS place
    FROM bounds
)
SELECT key, id, collection, parent_id, valid_from, valid_to, x0, y0, x1, y1,
       CASE WHEN place IS NULL THEN (x0 + x1) / 2 ELSE map_x(ST_X(place)) END AS place_x,
       CASE WHEN place IS NULL THEN (y0 + y1) / 2 ELSE map_y(ST_Y(place)) END AS place_y,
       south IS NULL OR south > 85.05112877980659 OR north < -85.05112877980659 AS is_beyond,
       map_geometry(geometry, south, north) AS geometry
FROM boxes;

CREATE TABLE {schema}.split AS SELECT split, raster_id AS id, part, valid_from, valid_to FROM state.split;
