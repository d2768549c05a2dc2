-- other_labels.sql: the labels of a dataset, and of those that stand what they depend on (the relation standing_label)
SELECT label, raster_id, path, size, md5, sha256, pixel_digest, west IS NOT NULL AS stands, west, south, east, north, turn,
       by_order, by_name
FROM label_now LEFT JOIN standing_label USING (label, raster_id)
ORDER BY label, raster_id;
