-- downloaded_rasters.sql: the rasters of the revision that downloads fetched, each with the event that recorded its bytes
-- needs: current_raster, log.event, log.raster_change · makes: a row a raster, by id
SELECT raster_id, collection, path, size, md5, sha256, pixel_digest, ST_AsWKB(footprint)::BLOB AS footprint,
       strftime(acquired::TIMESTAMP, '%Y-%m-%dT%H:%M:%S.%f') AS acquired, properties, digest
FROM (SELECT * FROM current_raster WHERE storage = 'dvc' AND parent_id IS NULL)
JOIN (
    SELECT raster_id, sha256, max_by(digest, generation) AS digest
    FROM log.raster_change JOIN (FROM log.event WHERE kind = 'rasters_downloaded') USING (event_key)
    WHERE change <> 'removed' GROUP BY raster_id, sha256
) USING (raster_id, sha256)
ORDER BY raster_id
