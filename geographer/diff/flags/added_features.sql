-- added_features.sql: the class, area (degrees², scaled to the equator) and centre of each added feature
-- needs: changed_feature, changed_geometry · makes: one result: feature_id, class, position, area, x, y
SELECT feature_id, new.class AS class, position, ST_Area(geometry) * cos(radians(y)) AS area, x, y
FROM (
    SELECT *, ST_GeomFromWKB(new_geometry) AS geometry,
           -- A feature as wide as this is split at the antimeridian.
           if(ST_XMax(geometry) - ST_XMin(geometry) > 180, 180, (ST_XMin(geometry) + ST_XMax(geometry)) / 2) AS x,
           (ST_YMin(geometry) + ST_YMax(geometry)) / 2 AS y
    FROM changed_feature JOIN changed_geometry USING (feature_id) WHERE change = 'added'
)
ORDER BY feature_id;
