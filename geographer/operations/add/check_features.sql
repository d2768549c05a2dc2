-- check_features.sql: input rows with their ids, each with the code of its first problem (see feature_rows.py); null: can be added
-- needs: input_feature, current_feature, $crs, $replaces, $makes_ids, $integer_ids · makes: temp table checked_feature
CREATE OR REPLACE TEMP TABLE checked_feature AS
WITH given_row AS (
    SELECT *, row_number() OVER () AS row_index FROM input_feature
), content AS (
    -- The digest of CRS and normalised geometry is the same on every machine and in every order of rows.
    SELECT row_index, class, properties,
           sha256(encode($crs || chr(10)) || TRY(ST_AsWKB(ST_Normalize(
               -- Writers make a single geometry a part of a multi one. Multiplying by 1 makes -0 a 0.
               ST_Affine(if(ST_GeometryType(geometry)::VARCHAR LIKE 'MULTI%' AND ST_NumGeometries(geometry) = 1,
                            ST_Dump(geometry)[1].geom, geometry), 1, 0, 0, 1, 0, 0)
           ))::BLOB)) AS digest
    FROM given_row
    WHERE $makes_ids AND coalesce(feature_id, '') = '' AND geometry IS NOT NULL AND NOT ST_IsEmpty(geometry)
), made_id AS (
    -- Equal geometries are counted, in the order of their other values.
    SELECT row_index, CASE WHEN $integer_ids THEN (('0x' || digest[:13])::BIGINT + copy - 1)::VARCHAR
                           WHEN copy = 1 THEN digest[:16] ELSE digest[:16] || '-' || copy END AS made_id
    FROM (SELECT *, row_number() OVER (PARTITION BY digest ORDER BY class, properties, row_index) AS copy
          FROM content WHERE digest IS NOT NULL)
), input_row AS (
    SELECT given_row.* REPLACE (coalesce(made_id, feature_id) AS feature_id) FROM given_row LEFT JOIN made_id USING (row_index)
), repeated AS (
    SELECT row_index, row_number() OVER (PARTITION BY feature_id ORDER BY row_index) AS occurrence
    FROM input_row WHERE feature_id IN (SELECT feature_id FROM input_row GROUP BY ALL HAVING count(*) > 1)
), existing AS (
    SELECT feature_id AS existing_id FROM current_feature SEMI JOIN input_row USING (feature_id)
), input_with_context AS (
    SELECT input_row.*, coalesce(occurrence, 1) AS occurrence, existing_id IS NOT NULL AS is_existing,
           CASE WHEN $crs <> 'EPSG:4326' THEN ST_Transform(geometry, $crs, 'EPSG:4326', always_xy := true) END AS lonlat
    FROM input_row LEFT JOIN repeated USING (row_index) LEFT JOIN existing ON existing_id = feature_id
)
SELECT row_index, feature_id, class, geometry, properties, CASE
    WHEN is_unsupported THEN 'unsupported_geometry'
    WHEN geometry IS NULL THEN 'no_geometry'
    WHEN ST_IsEmpty(geometry) THEN 'empty_geometry'
    WHEN ST_GeometryType(geometry) = 'GEOMETRYCOLLECTION' THEN 'geometry_collection'
    WHEN NOT isfinite(ST_XMin(geometry) + ST_YMin(geometry) + ST_XMax(geometry) + ST_YMax(geometry)) THEN 'not_finite'
    WHEN feature_id IS NULL OR feature_id = '' THEN 'no_id'
    WHEN $crs = 'EPSG:4326' AND (ST_XMin(geometry) < -180 OR ST_XMax(geometry) > 180
                                 OR ST_YMin(geometry) < -90 OR ST_YMax(geometry) > 90) THEN 'outside_lonlat'
    WHEN $crs <> 'EPSG:4326' AND NOT (abs(ST_XMin(lonlat)) <= 180.000001 AND abs(ST_XMax(lonlat)) <= 180.000001
                                      AND abs(ST_YMin(lonlat)) <= 90.000001 AND abs(ST_YMax(lonlat)) <= 90.000001)
        THEN 'outside_crs'
    WHEN NOT ST_IsValid(geometry) THEN 'invalid_geometry'
    WHEN has_unreadable_time THEN 'unreadable_time'
    WHEN occurrence > 1 THEN 'repeated_id'
    WHEN is_existing AND NOT $replaces THEN 'existing_id' END AS problem
FROM input_with_context
ORDER BY row_index;
