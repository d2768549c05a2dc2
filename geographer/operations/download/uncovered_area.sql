-- uncovered_area.sql: the part of each feature outside the union of the selected rasters of $collection; less than a millionth
-- of the feature (area or length) is a rounding error between adjacent rasters and is left out
-- needs: feature_to_cover, current_feature, current_edge, current_raster, filtered_raster, $collection · makes: one result: feature_key, feature_id, geometry (WKB), lacking
WITH counted_raster AS (
    SELECT raster_key, footprint FROM current_raster SEMI JOIN filtered_raster USING (raster_id)
    WHERE collection = $collection AND storage <> 'catalogue'
), counted_edge AS (
    SELECT feature_key, raster_key, contains FROM current_edge SEMI JOIN counted_raster USING (raster_key)
), uncontained_feature AS (
    -- The edges decide exactly for features within one raster, which are most; only the others need a union.
    SELECT feature_key, rank FROM feature_to_cover ANTI JOIN (FROM counted_edge WHERE contains) AS containing USING (feature_key)
), covered_area AS (
    SELECT feature_key, ST_Union_Agg(footprint) AS footprint
    FROM (FROM counted_edge SEMI JOIN uncontained_feature USING (feature_key)) JOIN counted_raster USING (raster_key)
    GROUP BY feature_key
), remaining_part AS (
    SELECT feature_key, feature_id, rank, geometry,
           CASE WHEN footprint IS NULL THEN geometry ELSE ST_Difference(geometry, footprint) END AS uncovered
    FROM uncontained_feature JOIN (SELECT feature_key, feature_id, geometry FROM current_feature) AS feature USING (feature_key)
    LEFT JOIN covered_area USING (feature_key)
)
SELECT feature_key, feature_id, ST_AsWKB(uncovered)::BLOB AS geometry, 1::BIGINT AS lacking
FROM remaining_part
WHERE NOT ST_IsEmpty(uncovered) AND ST_Area(uncovered) >= 1e-6 * ST_Area(remaining_part.geometry)
  AND ST_Length(uncovered) >= 1e-6 * ST_Length(remaining_part.geometry)
ORDER BY rank
