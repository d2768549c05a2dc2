-- raster_points.sql: a point in each raster of some ids at a revision, in longitude/latitude; those off the globe have none
-- needs: current_raster, wanted_raster (raster_id) · makes: one result: raster_id, lon, lat
SELECT raster_id, ST_X(point) AS lon, ST_Y(point) AS lat
FROM (
    SELECT raster_id, ST_PointOnSurface(footprint) AS point
    FROM current_raster SEMI JOIN wanted_raster USING (raster_id)
    WHERE NOT ST_IsEmpty(footprint)
)
ORDER BY raster_id;
