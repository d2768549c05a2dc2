-- features_on_rasters.sql: what each raster whose label is missing or out of date shows, in its CRS, in the order of addition
SELECT raster_id, feature_id, class, value, ST_AsWKB(g)::BLOB AS wkb, coalesce(ignored, false) AS ignored, probabilities,
       CASE WHEN $with_properties THEN properties END AS properties
FROM (
    SELECT raster_id, feature_id, class, value, added, ignored, probabilities, properties,
           CASE WHEN wraps THEN turned_to(feature_in(geometry, native, feature.crs, raster.crs, torn), (raster.xmin + raster.xmax) / 2)
                ELSE feature_in(geometry, native, feature.crs, raster.crs, torn) END AS g
    FROM (SELECT raster_key, raster_id, crs, wraps, torn, xmin, xmax FROM raster_now SEMI JOIN raster_to_label USING (raster_id)) AS raster
    JOIN shown_now USING (raster_key)
    JOIN (SELECT feature_key, feature_id, class, geometry, native, crs, properties FROM feature_now) AS feature USING (feature_key)
    JOIN classes USING (class)
    JOIN feature_order USING (feature_id)
    LEFT JOIN feature_extra USING (feature_id)
)
WHERE g IS NOT NULL
ORDER BY raster_id, added, feature_id;
