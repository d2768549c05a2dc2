-- contested_labels.sql: the labels $labels, which users added to rasters of $collections, that both sides changed differently
-- needs: decision_label_group, state.raster, $labels, $collections · makes: one result: label, raster_id
WITH added AS (
    SELECT unnest($labels::VARCHAR[]) AS label, unnest($collections::VARCHAR[]) AS collection
)
SELECT DISTINCT label, raster_id
FROM decision_label_group JOIN added USING (label)
-- Labels of chips follow from those of their rasters.
SEMI JOIN (SELECT raster_id, collection FROM state.raster) AS raster USING (raster_id, collection)
WHERE chosen IS NULL AND first_digest IS NOT NULL AND second_digest IS NOT NULL
ORDER BY label, raster_id;
