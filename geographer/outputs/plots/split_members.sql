-- split_members.sql: the rasters of a split with the middles of their boxes, which may lie beyond 180 degrees
-- needs: current_split, current_raster, $split · makes: one result: raster_id, part, longitude, latitude, ordered by raster_id
SELECT raster_id, part, (bbox_xmin + bbox_xmax) / 2 AS longitude, (bbox_ymin + bbox_ymax) / 2 AS latitude
FROM (SELECT raster_id, part FROM current_split WHERE split = $split)
JOIN (SELECT raster_id, bbox_xmin, bbox_xmax, bbox_ymin, bbox_ymax FROM current_raster) USING (raster_id)
ORDER BY raster_id;
