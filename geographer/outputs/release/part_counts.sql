-- part_counts.sql: the rasters in each part of each split (null: left out), and the features of each class that they show
-- needs: current_split, current_raster, current_edge, current_feature · makes: one result: split, part, rasters, features, classes
WITH assigned AS (
    SELECT split, part, raster_key FROM current_split JOIN current_raster USING (raster_id)
), shown AS (
    SELECT split, part, class, count(DISTINCT feature_key) AS features
    FROM assigned JOIN current_edge USING (raster_key) JOIN current_feature USING (feature_key)
    GROUP BY ALL
), counted AS (
    SELECT split, part, sum(features)::BIGINT AS features, list({'class': class, 'features': features} ORDER BY class) AS classes
    FROM shown GROUP BY ALL
)
SELECT part_size.split, part_size.part, rasters, coalesce(features, 0) AS features, coalesce(classes, []) AS classes
FROM (SELECT split, part, count(*) AS rasters FROM assigned GROUP BY ALL) AS part_size
LEFT JOIN counted ON counted.split = part_size.split AND counted.part IS NOT DISTINCT FROM part_size.part
ORDER BY part_size.split, part_size.part NULLS LAST;
