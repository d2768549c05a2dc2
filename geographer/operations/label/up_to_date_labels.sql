-- up_to_date_labels.sql: which labels $name are neither to be made again nor retired, and in which box may a feature be drawn on each?
SELECT label_now.label, label_now.raster_id, west, south, east, north, turn, $by_order::BOOLEAN AS by_order,
       $by_name::BOOLEAN AS by_name
FROM label_now JOIN grown USING (raster_id) ANTI JOIN raster_to_label USING (raster_id)
WHERE label_now.label = $name
ORDER BY raster_id;
