-- changed_geometry.sql: the geometries of changed features: as recorded (`native`, WKB in `crs`), and in longitude/latitude (`geometry`)
-- needs: changed_feature, chain_feature_change, state.feature ·
-- makes: temp table changed_geometry: feature_id, and old and new native, crs, geometry (all WKB), is_changed
CREATE OR REPLACE TEMP TABLE changed_geometry AS
WITH version AS (
    SELECT feature_id, true AS is_new, new.feature_key AS feature_key FROM changed_feature WHERE new IS NOT NULL
    UNION ALL SELECT feature_id, false, old.feature_key FROM changed_feature WHERE old IS NOT NULL
), recorded AS MATERIALIZED (
    -- From the log, whose blobs are not compressed: from the state, a few geometries cost as much as all.
    SELECT version.feature_id, is_new, feature_key, geometry AS native, crs,
           CASE WHEN crs <> 'EPSG:4326'
                THEN ST_Transform(ST_GeomFromWKB(geometry), crs, 'EPSG:4326', always_xy := true) END AS transformed
    FROM chain_feature_change AS change
    JOIN (SELECT *, feature_key >> 32 AS position, feature_key & 4294967295 AS ordinal FROM version) AS version
    USING (position, ordinal)
), wide AS (
    -- A geometry wider than 180 degrees may cross the antimeridian, where the state has split it.
    SELECT feature_key, geometry FROM state.feature
    WHERE feature_key IN (SELECT feature_key FROM recorded WHERE ST_XMax(transformed) - ST_XMin(transformed) > 180)
), located AS (
    SELECT * EXCLUDE (transformed, geometry),
           CASE WHEN transformed IS NULL THEN native ELSE ST_AsWKB(coalesce(wide.geometry, transformed))::BLOB END AS geometry
    FROM recorded LEFT JOIN wide USING (feature_key)
)
SELECT feature_id, old.native AS old_native, new.native AS new_native, old.crs AS old_crs, new.crs AS new_crs,
       old.geometry AS old_geometry, new.geometry AS new_geometry,
       old.native IS DISTINCT FROM new.native OR old.crs IS DISTINCT FROM new.crs AS is_changed
FROM (FROM located WHERE NOT is_new) AS old FULL JOIN (FROM located WHERE is_new) AS new USING (feature_id);
