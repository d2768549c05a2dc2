-- shapes.sql: what to burn on each raster whose label is missing or out of date: shapes in the raster's CRS with
-- their class values, in drawing order (a class with a larger value lies on top, background erases last)
SELECT raster_id, list(struct_pack(wkb := ST_AsWKB(g)::BLOB, value := value)
                       ORDER BY value = 0, value, feature_key) FILTER (g IS NOT NULL) AS shapes
FROM (
    SELECT raster_id, raster.raster_key, feature_key, value,
           CASE WHEN wraps THEN turned_to(feature_in(geometry, native, feature.crs, raster.crs, torn), (raster.xmin + raster.xmax) / 2)
                ELSE feature_in(geometry, native, feature.crs, raster.crs, torn) END AS g
    FROM raster_to_label JOIN raster_now AS raster USING (raster_id)
    LEFT JOIN edge_now USING (raster_key)
    LEFT JOIN (SELECT feature_key, class, geometry, native, crs FROM feature_now) AS feature USING (feature_key)
    LEFT JOIN classes USING (class)
)
GROUP BY raster_id
ORDER BY raster_id;
