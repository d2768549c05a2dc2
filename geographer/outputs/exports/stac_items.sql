-- stac_items.sql: what items of STAC need of the samples with $numbers, beside their files
-- needs: export_sample, sample_footprint, current_raster, chain_event, $numbers · makes: one result: number, geometry (GeoJSON), xmin, ymin, xmax, ymax, recorded_at
SELECT number, ST_AsGeoJSON(outline) AS geometry, ST_XMin(outline), ST_YMin(outline), ST_XMax(outline), ST_YMax(outline), recorded_at
FROM (SELECT number, raster_id, ST_GeomFromWKB(footprint) AS outline FROM export_sample JOIN sample_footprint USING (raster_key)
      WHERE number IN (SELECT unnest($numbers::BIGINT[])))
JOIN (SELECT raster_id, valid_from FROM current_raster) USING (raster_id)
JOIN (SELECT position, recorded_at FROM chain_event) AS event ON event.position = valid_from
ORDER BY number;
