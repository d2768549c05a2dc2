-- check_footprints.sql: input footprints that cannot be added, with the code of the first problem (see catalogue.py)
-- needs: input_footprint, current_raster · makes: one result: name, problem
SELECT coalesce(raster_id, 'row ' || row_index) AS name, problem
FROM (
    SELECT row_index, raster_id, CASE
        WHEN raster_id IS NULL OR raster_id = '' THEN 'no_id'
        WHEN outline IS NULL OR ST_IsEmpty(outline) THEN 'no_footprint'
        WHEN ST_GeometryType(outline) NOT IN ('POLYGON', 'MULTIPOLYGON') THEN 'not_polygon'
        WHEN NOT isfinite(ST_XMin(outline) + ST_YMin(outline) + ST_XMax(outline) + ST_YMax(outline)) THEN 'not_finite'
        WHEN NOT ST_IsValid(outline) THEN 'invalid_footprint'
        -- A footprint in degrees may extend across the antimeridian, up to longitude 360.
        WHEN greatest(abs(ST_YMin(lonlat)), abs(ST_YMax(lonlat))) > 90.000001
             OR greatest(abs(ST_XMin(lonlat)), abs(ST_XMax(lonlat))) > 360
             OR NOT isfinite(ST_XMin(lonlat) + ST_YMin(lonlat) + ST_XMax(lonlat) + ST_YMax(lonlat)) THEN 'outside_crs'
        WHEN has_unreadable_time THEN 'unreadable_time'
        WHEN raster_id IN (SELECT raster_id FROM input_footprint GROUP BY raster_id HAVING count(*) > 1)
            THEN 'repeated_id'
        WHEN raster_id IN (SELECT raster_id FROM current_raster) THEN 'existing_id' END AS problem
    FROM (SELECT *, row_number() OVER () AS row_index, CASE WHEN crs = 'EPSG:4326' THEN outline
                 ELSE ST_Transform(outline, crs, 'EPSG:4326', always_xy := true) END AS lonlat
          FROM input_footprint)
)
WHERE problem IS NOT NULL
ORDER BY row_index;
