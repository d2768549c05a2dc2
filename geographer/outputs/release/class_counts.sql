-- class_counts.sql: how many features of each class a revision has, and how many of them no raster shows
-- needs: current_class, current_feature, current_edge · makes: one result: class, value, features, unseen
SELECT class, any_value(value) AS value, count(feature_key) AS features,
       count(feature_key) FILTER (feature_key NOT IN (SELECT feature_key FROM current_edge)) AS unseen
FROM current_class FULL JOIN current_feature USING (class)
GROUP BY class
ORDER BY value NULLS LAST, class;
