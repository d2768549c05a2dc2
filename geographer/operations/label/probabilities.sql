-- probabilities.sql: of each feature, the probabilities of the classes $names in the columns whose JSON paths are $paths;
-- a feature without any has 1 for its own class
CREATE OR REPLACE TEMP TABLE feature_extra AS
WITH given AS (
    SELECT feature_id, class, [properties->>path for path in $paths::VARCHAR[]] AS texts
    FROM feature_now SEMI JOIN (SELECT feature_key FROM shown_now SEMI JOIN raster_to_label USING (raster_key)) USING (feature_key)
)
SELECT feature_id, false AS ignored, texts,
       CASE WHEN list_bool_or([text IS NOT NULL for text in texts])
            THEN [if(text IS NULL, 0.0, TRY_CAST(text AS DOUBLE)) for text in texts]
            ELSE [if(name = class, 1.0, 0.0) for name in $names::VARCHAR[]] END AS probabilities
FROM given;
