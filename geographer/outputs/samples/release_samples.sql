-- release_samples.sql: the samples of an exported folder, from its tables: see samples.sql
-- needs: rasters, chips, splits, edges, features, samples, $split, $parts, $collection · makes: temp table release_sample
CREATE OR REPLACE TEMP TABLE release_sample AS
WITH assignment AS (
    SELECT raster_id, part FROM splits
    WHERE split = $split AND part IS NOT NULL AND ($parts::VARCHAR[] IS NULL OR part IN (SELECT unnest($parts::VARCHAR[])))
), fact AS (
    SELECT raster_id, any_value(feature_id) AS feature_id, any_value(component) FILTER (split = $split) AS component
    FROM samples GROUP BY raster_id
), chosen AS (
    SELECT raster_id, collection, part, component, parent_id, feature_id, path, sha256, crs, acquired
    FROM rasters LEFT JOIN assignment USING (raster_id) LEFT JOIN fact USING (raster_id)
    LEFT JOIN (SELECT raster_id, parent_id FROM chips) USING (raster_id)
    WHERE path IS NOT NULL AND ($split IS NULL OR part IS NOT NULL) AND ($collection IS NULL OR collection = $collection)
), feature_class AS (
    SELECT feature_id::VARCHAR AS feature_id, class FROM features
), shown_class AS (
    SELECT raster_id, list(DISTINCT class ORDER BY class) AS classes
    FROM (SELECT raster_id, feature_id::VARCHAR AS feature_id FROM edges) SEMI JOIN chosen USING (raster_id)
    JOIN feature_class USING (feature_id)
    GROUP BY raster_id
)
SELECT chosen.*, class, coalesce(classes, []::VARCHAR[]) AS classes
FROM chosen LEFT JOIN feature_class USING (feature_id) LEFT JOIN shown_class USING (raster_id)
ORDER BY raster_id;
