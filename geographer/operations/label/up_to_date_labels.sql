-- up_to_date_labels.sql: the labels $name that are neither outdated nor to be removed, with the box in which a feature may be drawn on each
-- needs: padded_raster, outdated_label, current_label, $name, $by_order, $by_name
-- · makes: one result: label, raster_id, west, south, east, north, lon_shift, by_order, by_name
SELECT label, raster_id, west, south, east, north, lon_shift, $by_order::BOOLEAN AS by_order, $by_name::BOOLEAN AS by_name
FROM current_label JOIN padded_raster USING (raster_id) ANTI JOIN outdated_label USING (raster_id)
WHERE label = $name
ORDER BY raster_id;
