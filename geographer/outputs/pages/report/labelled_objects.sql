-- labelled_objects.sql: the objects that labels list, and their pixels where labels count them, by label, class and part of split $split
-- needs: current_label_object, current_split, $split · makes: one result: label, class, part (null: none), objects, pixels
SELECT label, class, part, count(*) AS objects, sum(pixels)::BIGINT AS pixels
FROM current_label_object
LEFT JOIN (SELECT raster_id, part FROM current_split WHERE split = $split) AS assigned USING (raster_id)
GROUP BY label, class, part
ORDER BY label, class, part NULLS LAST;
