-- changed_geometry.sql: the geometries of changed features on both sides (WKB, longitude/latitude), and whether they differ as recorded
-- needs: recorded_geometry · makes: temp table changed_geometry: feature_id, old_geometry, new_geometry, is_changed
CREATE OR REPLACE TEMP TABLE changed_geometry AS
SELECT feature_id, coalesce(old.geometry, old.native) AS old_geometry, coalesce(new.geometry, new.native) AS new_geometry,
       old.native IS DISTINCT FROM new.native OR old.crs IS DISTINCT FROM new.crs AS is_changed
FROM (FROM recorded_geometry WHERE NOT is_new) AS old FULL JOIN (FROM recorded_geometry WHERE is_new) AS new USING (feature_id);
-- A million polygons take a gigabyte.
DROP TABLE recorded_geometry;
