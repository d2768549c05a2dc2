-- check_features.sql: input rows, each with the code of its first problem (see features.py); null: can be added
-- needs: input_feature, current_feature, $crs, $replace · makes: temp table checked_feature
CREATE OR REPLACE TEMP TABLE checked_feature AS
WITH input_row AS (
    SELECT *, row_number() OVER () AS row_index FROM input_feature
), repeated AS (
    SELECT row_index, row_number() OVER (PARTITION BY feature_id ORDER BY row_index) AS occurrence
    FROM input_row WHERE feature_id IN (SELECT feature_id FROM input_row GROUP BY ALL HAVING count(*) > 1)
), existing AS (
    SELECT feature_id AS existing_id, row_digest AS existing_digest
    FROM current_feature SEMI JOIN input_row USING (feature_id)
), input_with_context AS (
    SELECT input_row.*, coalesce(occurrence, 1) AS occurrence, existing_id IS NOT NULL AS is_existing, existing_digest,
           CASE WHEN $crs <> 'EPSG:4326' THEN ST_Transform(geometry, $crs, 'EPSG:4326', always_xy := true) END AS lonlat
    FROM input_row LEFT JOIN repeated USING (row_index) LEFT JOIN existing ON existing_id = feature_id
)
SELECT row_index, feature_id, class, geometry, properties, existing_digest, CASE
    WHEN geometry IS NULL THEN 'no_geometry'
    WHEN ST_IsEmpty(geometry) THEN 'empty_geometry'
    WHEN feature_id IS NULL OR feature_id = '' THEN 'no_id'
    WHEN ST_GeometryType(geometry) = 'GEOMETRYCOLLECTION' THEN 'geometry_collection'
    WHEN NOT isfinite(ST_XMin(geometry) + ST_YMin(geometry) + ST_XMax(geometry) + ST_YMax(geometry)) THEN 'not_finite'
    WHEN $crs = 'EPSG:4326' AND (ST_XMin(geometry) < -180 OR ST_XMax(geometry) > 180
                                 OR ST_YMin(geometry) < -90 OR ST_YMax(geometry) > 90) THEN 'outside_lonlat'
    WHEN $crs <> 'EPSG:4326' AND NOT (abs(ST_XMin(lonlat)) <= 180.000001 AND abs(ST_XMax(lonlat)) <= 180.000001
                                      AND abs(ST_YMin(lonlat)) <= 90.000001 AND abs(ST_YMax(lonlat)) <= 90.000001)
        THEN 'outside_crs'
    WHEN NOT ST_IsValid(geometry) THEN 'invalid_geometry'
    WHEN has_unreadable_time THEN 'unreadable_time'
    WHEN occurrence > 1 THEN 'repeated_id'
    WHEN is_existing AND NOT $replace THEN 'existing_id' END AS problem
FROM input_with_context
ORDER BY row_index;
