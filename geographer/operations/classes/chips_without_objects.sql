-- chips_without_objects.sql: chips that show an object before a remap and none after it; background is not an object
-- needs: class_remap, current_feature, current_raster, current_edge · makes: one result: raster_id
SELECT raster_id
FROM current_raster JOIN (
    SELECT raster_key
    FROM current_edge JOIN (SELECT feature_key, class FROM current_feature) USING (feature_key)
    JOIN class_remap USING (class)
    GROUP BY raster_key HAVING bool_or(was_object) AND NOT bool_or(is_object)
) USING (raster_key)
WHERE parent_id IS NOT NULL
ORDER BY raster_key;
