-- 010_feature.sql: the versions of each feature, in longitude/latitude, with a box around its edges
-- needs: chain_feature_change, macros.sql, $after, $up_to · makes: new versions in state.feature
INSERT INTO state.feature BY NAME
WITH new_change AS NOT MATERIALIZED (
    FROM chain_feature_change WHERE position > $after AND position <= $up_to
), replaced_version AS (
    -- Few features have several of the changes: only their versions are sorted, without their geometries.
    SELECT feature_id, position, lead(position) OVER (PARTITION BY feature_id ORDER BY position) AS next_position
    FROM (SELECT feature_id, position FROM new_change)
    WHERE feature_id IN (SELECT feature_id FROM new_change GROUP BY feature_id HAVING count(*) > 1)
), version AS (
    SELECT new_change.*, ST_GeomFromWKB(geometry) AS native, coalesce(next_position, open_end()) AS until
    FROM new_change LEFT JOIN replaced_version USING (feature_id, position)
), with_lonlat AS (
    SELECT * REPLACE (reproject(native, crs, 'EPSG:4326') AS geometry) FROM version WHERE change <> 'removed'
), with_lon_0_360 AS (
    -- A geometry wider than 180 degrees crosses the antimeridian or encloses a pole.
    SELECT *, crs <> 'EPSG:4326' AND ST_XMax(geometry) - ST_XMin(geometry) > 180 AS is_wide,
           CASE WHEN is_wide THEN to_lon_0_360(native, crs) END AS geometry_0_360
    FROM with_lonlat
), split_geometry AS (
    SELECT * REPLACE (CASE WHEN crosses THEN split_at_antimeridian(geometry_0_360) ELSE geometry END AS geometry),
           is_wide AND NOT crosses AS encloses_pole
    FROM (SELECT *, coalesce(ST_XMax(geometry_0_360) - ST_XMin(geometry_0_360) <= 180, false) AS crosses
          FROM with_lon_0_360)
), bounds AS (
    SELECT *, ST_XMin(geometry) AS west, ST_YMin(geometry) AS south, ST_XMax(geometry) AS east,
           ST_YMax(geometry) AS north
    FROM split_geometry
), padded_bounds AS (
    SELECT *, max_edge_sagitta(east - west, north - south, greatest(abs(south), abs(north))) + 1e-9 AS pad,
           east - west > 180 OR (pad > 10 AND (west - pad < -180 OR east + pad > 180)) AS spans_globe
    FROM bounds
)
SELECT (position << 32) + ordinal AS feature_key, feature_id, id_is_integer, class, geometry,
       CASE WHEN crs <> 'EPSG:4326' THEN native END AS native, crs,
       CASE WHEN spans_globe THEN -180 ELSE west - pad END AS xmin,
       -- A polygon around a pole reaches up to the pole, although no vertex does.
       CASE WHEN encloses_pole AND south + north < 0 THEN -90 ELSE south - pad END AS ymin,
       CASE WHEN spans_globe THEN 180 ELSE east + pad END AS xmax,
       CASE WHEN encloses_pole AND south + north >= 0 THEN 90 ELSE north + pad END AS ymax,
       properties, row_digest, position AS valid_from, until AS valid_to
FROM padded_bounds;
