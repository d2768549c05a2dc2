-- read_feature.sql: every row of `given_feature`, with the first reason, if any, why it can't become a feature
CREATE OR REPLACE TEMP TABLE read_feature AS
WITH numbered AS (
    SELECT *, row_number() OVER () AS line FROM given_feature
), twice AS (
    SELECT line, row_number() OVER (PARTITION BY feature_id ORDER BY line) AS occurrence
    FROM numbered WHERE feature_id IN (SELECT feature_id FROM numbered GROUP BY ALL HAVING count(*) > 1)
), known AS (
    SELECT feature_id AS known_feature, row_digest AS known_digest FROM feature_now SEMI JOIN numbered USING (feature_id)
), looked_up AS (
    SELECT numbered.*, coalesce(occurrence, 1) AS occurrence, known_feature IS NOT NULL AS is_known, known_digest,
           CASE WHEN $crs <> 'EPSG:4326' THEN ST_Transform(geometry, $crs, 'EPSG:4326', always_xy := true) END AS lonlat
    FROM numbered LEFT JOIN twice USING (line) LEFT JOIN known ON known_feature = feature_id
)
SELECT line, feature_id, class, geometry, properties, known_digest, CASE
    WHEN geometry IS NULL THEN 'it has no geometry'
    WHEN ST_IsEmpty(geometry) THEN 'its geometry is empty'
    WHEN feature_id IS NULL OR feature_id = '' THEN 'it has no id'
    WHEN ST_GeometryType(geometry) = 'GEOMETRYCOLLECTION'
        THEN 'its geometry is a collection: use points, lines or polygons'
    WHEN NOT isfinite(ST_XMin(geometry) + ST_YMin(geometry) + ST_XMax(geometry) + ST_YMax(geometry))
        THEN 'its coordinates are not finite'
    WHEN $crs = 'EPSG:4326' AND (ST_XMin(geometry) < -180 OR ST_XMax(geometry) > 180
                                 OR ST_YMin(geometry) < -90 OR ST_YMax(geometry) > 90)
        THEN 'its coordinates are out of range: longitude is -180 to 180, latitude -90 to 90'
    WHEN $crs <> 'EPSG:4326' AND NOT (abs(ST_XMin(lonlat)) <= 180.000001 AND abs(ST_XMax(lonlat)) <= 180.000001
                                      AND abs(ST_YMin(lonlat)) <= 90.000001 AND abs(ST_YMax(lonlat)) <= 90.000001)
        THEN 'its coordinates are out of range for its CRS'
    WHEN NOT ST_IsValid(geometry) THEN 'its geometry is invalid: see ST_IsValid, or repair it with make_valid'
    WHEN occurrence > 1 THEN 'its id stands twice in the file'
    WHEN is_known AND NOT $replace THEN 'its id is in the dataset already' END AS reason
FROM looked_up
ORDER BY line;
