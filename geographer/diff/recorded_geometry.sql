-- recorded_geometry.sql: the geometries of versions of features: as recorded (`native`, WKB in `crs`), and in longitude/latitude (`geometry`; null if that is `native`)
-- needs: geometry_version (feature_id, is_new, feature_key), chain_feature_change, state.feature ·
-- makes: temp table recorded_geometry: feature_id, is_new, native, crs, geometry
CREATE OR REPLACE TEMP TABLE recorded_geometry AS
WITH recorded AS MATERIALIZED (
    -- From the log, whose blobs are not compressed: from the state, a few geometries cost as much as all.
    SELECT version.feature_id, is_new, feature_key, geometry AS native, crs,
           CASE WHEN crs <> 'EPSG:4326'
                THEN ST_Transform(ST_GeomFromWKB(geometry), crs, 'EPSG:4326', always_xy := true) END AS transformed
    FROM chain_feature_change AS change
    JOIN (SELECT *, feature_key >> 32 AS position, feature_key & 4294967295 AS ordinal FROM geometry_version) AS version
    USING (position, ordinal)
), wide AS (
    -- A geometry wider than 180 degrees may cross the antimeridian, where the state has split it.
    SELECT feature_key, geometry FROM state.feature
    WHERE feature_key IN (SELECT feature_key FROM recorded WHERE ST_XMax(transformed) - ST_XMin(transformed) > 180)
)
SELECT feature_id, is_new, native, crs,
       CASE WHEN transformed IS NOT NULL THEN ST_AsWKB(coalesce(wide.geometry, transformed))::BLOB END AS geometry
FROM recorded LEFT JOIN wide USING (feature_key);
