-- changed_geometry.sql: the geometries of changed features on both sides, and whether they differ
-- needs: recorded_geometry · makes: temp table changed_geometry: feature_id, and old and new native, crs, geometry (all WKB), is_changed
CREATE OR REPLACE TEMP TABLE changed_geometry AS
SELECT feature_id, old.native AS old_native, new.native AS new_native, old.crs AS old_crs, new.crs AS new_crs,
       old.geometry AS old_geometry, new.geometry AS new_geometry,
       old.native IS DISTINCT FROM new.native OR old.crs IS DISTINCT FROM new.crs AS is_changed
FROM (FROM recorded_geometry WHERE NOT is_new) AS old FULL JOIN (FROM recorded_geometry WHERE is_new) AS new USING (feature_id);
