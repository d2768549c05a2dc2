-- merge_antimeridian_parts.sql: footprints in degrees that were split at the antimeridian (RFC 7946), made whole from 0 to 360
UPDATE given_footprint
SET outline = list_reduce(
    [CASE WHEN ST_XMax(part.geom) <= 0 THEN ST_Translate(part.geom, 360.0, 0.0) ELSE part.geom END
     for part in ST_Dump(outline)],
    lambda a, b: ST_Union(a, b))
WHERE crs = 'EPSG:4326' AND ST_GeometryType(outline) = 'MULTIPOLYGON'
      AND ST_XMin(outline) <= -180 AND ST_XMax(outline) >= 180;
