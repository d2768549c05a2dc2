-- raster_grids.sql: the grids of the rasters with files, of a collection or of all
-- needs: current_raster, $collection · makes: one result: raster_id, path, crs, width, height, transform
SELECT raster_id, path, crs, width, height, transform
FROM current_raster
WHERE storage <> 'catalogue' AND transform IS NOT NULL AND crs IS NOT NULL AND ($collection IS NULL OR collection = $collection)
ORDER BY raster_id;
