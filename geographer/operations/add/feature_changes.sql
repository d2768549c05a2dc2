-- feature_changes.sql: what an addition that replaces or syncs does to each feature, with what differs; equal features are left out
-- needs: file_feature, dataset_feature (feature_rows.py), checked_feature, $crs, $columns, $removes, $tolerance · makes: temp table feature_difference
CREATE OR REPLACE TEMP TABLE feature_difference AS
WITH pair AS (
    SELECT incoming, recorded,
           -- In longitude/latitude, tables and files have geometries as the state cuts them at the antimeridian.
           CASE WHEN recorded.crs = $crs THEN NULL WHEN $crs = 'EPSG:4326' THEN recorded.lonlat
                ELSE ST_Transform(recorded.native, recorded.crs, $crs, always_xy := true) END AS transformed
    FROM file_feature AS incoming LEFT JOIN dataset_feature AS recorded USING (feature_id)
    WHERE recorded.row_digest IS DISTINCT FROM incoming.row_digest
), with_points AS (
    SELECT *, if(ST_GeometryType(transformed) = ST_GeometryType(incoming.shape) AND ST_NPoints(transformed) = ST_NPoints(incoming.shape),
                 list_zip(ST_Dump(ST_Points(transformed)), ST_Dump(ST_Points(incoming.shape))), NULL) AS points
    FROM pair
), compared AS (
    -- A geometry that was exported in another CRS is equal if all vertices are where they were, to $tolerance units of the CRS.
    SELECT incoming, recorded, recorded.feature_id IS NULL AS is_new,
           coalesce(CASE WHEN recorded.crs = $crs THEN ST_AsWKB(recorded.native)::BLOB = incoming.geometry
                         ELSE list_max([greatest(abs(ST_X(p[1].geom) - ST_X(p[2].geom)), abs(ST_Y(p[1].geom) - ST_Y(p[2].geom)))
                                        FOR p IN points]) <= $tolerance END, false) AS has_same_geometry
    FROM with_points
), difference AS (
    SELECT *, CASE WHEN is_new THEN [] ELSE list_concat(
                  if(has_same_geometry, [], ['geometry']), if(recorded.class = incoming.class, [], ['class']),
                  [item[1] FOR item IN list_zip($columns::VARCHAR[], recorded.texts, incoming.texts) IF item[2] IS DISTINCT FROM item[3]]
              ) END AS differences
    FROM compared
)
SELECT incoming.row_index, if(is_new, 'added', 'changed') AS change, incoming.feature_id,
       if(is_new, incoming.id_is_integer, recorded.id_is_integer) AS id_is_integer, incoming.class,
       if(has_same_geometry, ST_AsWKB(recorded.native)::BLOB, incoming.geometry) AS geometry,
       if(has_same_geometry, recorded.crs, $crs) AS crs, incoming.properties, differences
FROM difference WHERE is_new OR len(differences) > 0
UNION ALL
SELECT NULL, 'removed', feature_id, NULL, NULL, NULL, NULL, NULL, []
FROM dataset_feature ANTI JOIN checked_feature USING (feature_id) WHERE $removes
ORDER BY row_index NULLS LAST, feature_id;
