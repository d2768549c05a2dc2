-- 020_feature.sql: the versions of each feature, in longitude/latitude, with a box that no straight edge leaves
UPDATE state.feature SET valid_to = change.position
FROM (SELECT feature_id, min(position) AS position FROM log.feature_change
      WHERE position > $after AND position <= $up_to AND change <> 'added' GROUP BY feature_id) AS change
WHERE state.feature.feature_id = change.feature_id AND valid_to = open_end();

INSERT INTO state.feature BY NAME
WITH version AS (
    SELECT *, ST_GeomFromWKB(geometry) AS native,
           coalesce(lead(position) OVER (PARTITION BY feature_id ORDER BY position), open_end()) AS until
    FROM log.feature_change
    WHERE position > $after AND position <= $up_to
), placed AS (
    SELECT * REPLACE (into_crs(native, crs, 'EPSG:4326') AS geometry) FROM version WHERE change <> 'removed'
), widened AS (
    -- Vertices far apart in longitude are those of a geometry across the antimeridian, or around a pole.
    SELECT *, crs <> 'EPSG:4326' AND ST_XMax(geometry) - ST_XMin(geometry) > 180 AS wide,
           CASE WHEN wide THEN into_eastings(native, crs) END AS eastern
    FROM placed
), cut AS (
    SELECT * REPLACE (CASE WHEN crossing THEN cut_at_antimeridian(eastern) ELSE geometry END AS geometry),
           wide AND NOT crossing AS around_a_pole
    FROM (SELECT *, coalesce(ST_XMax(eastern) - ST_XMin(eastern) <= 180, false) AS crossing FROM widened)
), boxed AS (
    SELECT *, ST_XMin(geometry) AS west, ST_YMin(geometry) AS south, ST_XMax(geometry) AS east,
           ST_YMax(geometry) AS north
    FROM cut
), padded AS (
    SELECT *, bulge(east - west, north - south, greatest(abs(south), abs(north))) + 1e-9 AS pad,
           east - west > 180 OR (pad > 10 AND (west - pad < -180 OR east + pad > 180)) AS round_the_globe
    FROM boxed
)
SELECT (position << 32) + ordinal AS feature_key, feature_id, id_is_integer, class, geometry,
       CASE WHEN crs <> 'EPSG:4326' THEN native END AS native, crs,
       CASE WHEN round_the_globe THEN -180 ELSE west - pad END AS xmin,
       -- A polygon around a pole has its pole inside, which no vertex shows.
       CASE WHEN around_a_pole AND south + north < 0 THEN -90 ELSE south - pad END AS ymin,
       CASE WHEN round_the_globe THEN 180 ELSE east + pad END AS xmax,
       CASE WHEN around_a_pole AND south + north >= 0 THEN 90 ELSE north + pad END AS ymax,
       properties, row_digest, position AS valid_from, until AS valid_to
FROM padded
ORDER BY position, ordinal;

-- A column whose type is null is there no more.
INSERT INTO state.own_column
SELECT 'feature', own.key, own.value->>'$', own.rowid, position
FROM log.event, json_each(payload, if(kind IN ('features_added', 'classes_remapped'), '$.columns', '$.columns.feature')) AS own
WHERE kind IN ('features_added', 'classes_remapped', 'geographer_imported', 'dataset_imported')
  AND position > $after AND position <= $up_to;
