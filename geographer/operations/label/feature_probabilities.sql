-- feature_probabilities.sql: the probability of each class of $classes for each feature to draw, read from the columns at the JSON
-- paths $paths; a feature without any has 1 for its own class
-- needs: outdated_label, current_drawn_feature, current_feature, $classes, $paths · makes: temp table feature_probability
CREATE OR REPLACE TEMP TABLE feature_probability AS
WITH column_text AS (
    SELECT feature_id, class, [properties->>path for path in $paths::VARCHAR[]] AS texts
    FROM current_feature SEMI JOIN
        (SELECT feature_key FROM current_drawn_feature SEMI JOIN outdated_label USING (raster_key)) USING (feature_key)
)
SELECT feature_id, texts, CASE WHEN list_bool_or([text IS NOT NULL for text in texts])
                               THEN [if(text IS NULL, 0.0, TRY_CAST(text AS DOUBLE)) for text in texts]
                               ELSE [if(name = class, 1.0, 0.0) for name in $classes::VARCHAR[]] END AS probabilities
FROM column_text;
