-- examples.sql: rasters that show each class in each part of split $split, or in collection $collection if it is null, chosen by digest
-- needs: current_raster, current_split, current_edge, current_feature, current_class, $split, $collection, $each (the number for each part and
-- class) · makes: one result: rank, part (null: none), class (null: no feature), raster_id
WITH candidate AS (
    SELECT raster_key, raster_id, part
    FROM current_raster LEFT JOIN (SELECT raster_id, part, true AS is_assigned FROM current_split WHERE split = $split) USING (raster_id)
    WHERE if($split IS NULL, collection = $collection, is_assigned AND part IS NOT NULL) AND storage <> 'catalogue'
), shown AS (
    SELECT DISTINCT part, class, raster_id
    FROM candidate LEFT JOIN current_edge USING (raster_key)
    LEFT JOIN (SELECT feature_key, class FROM current_feature) AS feature USING (feature_key)
), ranked AS (
    SELECT part, class, raster_id, row_number() OVER (PARTITION BY part, class ORDER BY md5(raster_id), raster_id) AS rank FROM shown
)
SELECT rank, part, ranked.class, raster_id
FROM ranked LEFT JOIN current_class ON current_class.class = ranked.class
WHERE rank <= $each
ORDER BY rank, value NULLS LAST, ranked.class, part NULLS LAST;
