-- image_contents.sql: what identifies the pixels of each sample: its bytes, and for a reference its digest with sidecar files
-- needs: sample, current_raster · makes: one result: raster_id, part, bands, dtype, content, ordered by raster_id
SELECT sample.raster_id, part, sample.bands, sample.dtype,
       sample.sha256 || if(sample.storage = 'reference', ' ' || coalesce(pixel_digest, ''), '') AS content
FROM sample JOIN (SELECT raster_key, pixel_digest FROM current_raster) USING (raster_key)
ORDER BY sample.raster_id;
