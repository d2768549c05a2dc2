-- taken_in_rows.sql: the rasters of $ids, or all if that is empty, that are recorded in place, as rows of the log
-- needs: current_raster, chain_raster_change, $ids · makes: one result: the columns of raster_change, without change
SELECT change.* EXCLUDE (change, position, ordinal, row_digest)
FROM chain_raster_change AS change
JOIN (SELECT raster_key FROM current_raster WHERE storage = 'reference') AS reference
ON change.position = raster_key >> 32 AND change.ordinal = raster_key & 4294967295
WHERE len($ids::VARCHAR[]) = 0 OR raster_id IN (SELECT unnest($ids::VARCHAR[]))
ORDER BY raster_id;
