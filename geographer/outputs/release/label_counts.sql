-- label_counts.sql: the labels of a revision: files, bytes, labelled collections, objects drawn, and those smaller than four pixels
-- needs: current_label, current_raster, current_label_object, recipes · makes: one result: label, kind, files, bytes, collections, objects, tiny
WITH object AS (
    SELECT label, count(*) AS objects, count(*) FILTER (pixels < 4) AS tiny FROM current_label_object GROUP BY label
)
SELECT label, any_value(kind) AS kind, count(*) AS files, coalesce(sum(current_label.size), 0)::BIGINT AS bytes,
       list(DISTINCT collection ORDER BY collection) AS collections, any_value(objects) AS objects, any_value(tiny) AS tiny
FROM current_label
JOIN (SELECT raster_id, collection FROM current_raster) AS raster USING (raster_id)
LEFT JOIN object USING (label)
LEFT JOIN (SELECT name AS label, kind FROM recipes) AS recipe USING (label)
GROUP BY label
ORDER BY label;
