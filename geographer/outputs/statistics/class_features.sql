-- class_features.sql: the features on the samples by subset (null: all samples) and class
-- needs: sample, current_edge, current_feature · makes: one result: part, class, samples that show one, features
SELECT if(grouping(chosen.part) = 1, NULL, chosen.part) AS part, feature.class AS class, count(DISTINCT raster_key) AS samples,
       count(DISTINCT feature_key) AS features
FROM (SELECT raster_key, part FROM sample) AS chosen
JOIN current_edge USING (raster_key)
JOIN (SELECT feature_key, class FROM current_feature) AS feature USING (feature_key)
GROUP BY GROUPING SETS ((chosen.part, feature.class), (feature.class))
HAVING grouping(chosen.part) = 1 OR chosen.part IS NOT NULL
ORDER BY ALL;
