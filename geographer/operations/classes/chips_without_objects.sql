-- chips_without_objects.sql: the chips that show an object now, and none after the remap in `remap`; background is no object
SELECT raster_id
FROM raster_now JOIN (
    SELECT raster_key
    FROM edge_now JOIN (SELECT feature_key, class FROM feature_now) USING (feature_key) JOIN remap USING (class)
    GROUP BY raster_key HAVING bool_or(was_object) AND NOT bool_or(is_object)
) USING (raster_key)
WHERE parent_id IS NOT NULL
ORDER BY raster_key;
