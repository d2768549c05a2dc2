-- invalid_footprint.sql: which rows of `given_footprint` can't become a raster of the catalogue, and the first reason why
SELECT coalesce(raster_id, 'row ' || line) AS name, reason
FROM (
    SELECT line, raster_id, CASE
        WHEN raster_id IS NULL OR raster_id = '' THEN 'it has no id'
        WHEN outline IS NULL OR ST_IsEmpty(outline) THEN 'it has no footprint'
        WHEN ST_GeometryType(outline) NOT IN ('POLYGON', 'MULTIPOLYGON') THEN 'its footprint is no polygon'
        WHEN NOT isfinite(ST_XMin(outline) + ST_YMin(outline) + ST_XMax(outline) + ST_YMax(outline))
            THEN 'the coordinates of its footprint are not finite'
        WHEN NOT ST_IsValid(outline) THEN 'its footprint is invalid'
        -- A footprint in degrees may reach over the antimeridian.
        WHEN greatest(abs(ST_YMin(lonlat)), abs(ST_YMax(lonlat))) > 90.000001
             OR greatest(abs(ST_XMin(lonlat)), abs(ST_XMax(lonlat))) > 360
             OR NOT isfinite(ST_XMin(lonlat) + ST_YMin(lonlat) + ST_XMax(lonlat) + ST_YMax(lonlat))
            THEN 'its footprint is out of range: pass --crs with the CRS that it is in'
        WHEN raster_id IN (SELECT raster_id FROM given_footprint GROUP BY raster_id HAVING count(*) > 1)
            THEN 'its id stands twice in the file'
        WHEN raster_id IN (SELECT raster_id FROM raster_now) THEN 'its id is in the dataset already' END AS reason
    FROM (SELECT *, row_number() OVER () AS line, CASE WHEN crs = 'EPSG:4326' THEN outline
                 ELSE ST_Transform(outline, crs, 'EPSG:4326', always_xy := true) END AS lonlat
          FROM given_footprint)
)
WHERE reason IS NOT NULL
ORDER BY line;
