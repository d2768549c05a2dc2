-- unfit_labels.sql: those of the labels $labels whose raster has another grid than when the label was recorded
-- needs: current_label, current_raster, state.raster, $labels · makes: one result: label, raster_id
WITH label AS (
    SELECT label, raster_id, valid_from AS labelled_at FROM current_label WHERE list_contains($labels::VARCHAR[], label)
), raster AS (
    SELECT raster_id, {'crs': crs, 'transform': transform, 'width': width, 'height': height} AS grid FROM current_raster
), earlier AS (
    SELECT raster_id, {'crs': crs, 'transform': transform, 'width': width, 'height': height} AS old_grid, valid_from, valid_to
    FROM state.raster
)
SELECT DISTINCT label, raster_id FROM label JOIN raster USING (raster_id) JOIN earlier USING (raster_id)
WHERE valid_from <= labelled_at AND valid_to > labelled_at AND old_grid IS DISTINCT FROM grid
ORDER BY label, raster_id;
