-- source_labels.sql: labels of a source dataset; those that are up to date with their dependencies
-- needs: current_label, up_to_date_label (see UpToDateLabels.labels) · makes: one result: label, raster_id, path, size,
--        md5, sha256, pixel_digest, is_up_to_date, west, south, east, north, lon_shift, by_order, by_name
SELECT label, raster_id, path, size, md5, sha256, pixel_digest, west IS NOT NULL AS is_up_to_date, west, south, east, north,
       lon_shift, by_order, by_name
FROM current_label LEFT JOIN up_to_date_label USING (label, raster_id)
ORDER BY label, raster_id;
