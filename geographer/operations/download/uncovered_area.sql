-- uncovered_area.sql: what the union of the chosen rasters of $collection leaves of each selected feature: at least a millionth
-- of its area (or length), as less is what rounding leaves between rasters that touch
WITH counting AS (
    SELECT raster_key, footprint FROM raster_now SEMI JOIN chosen_raster USING (raster_id)
    WHERE collection = $collection AND storage <> 'catalogue'
), meeting AS (
    SELECT feature_key, raster_key, contains FROM edge_now SEMI JOIN counting USING (raster_key)
), open AS (
    -- What a single raster contains is decided exactly, and wants no union: these are nearly all.
    SELECT feature_key, turn FROM selected_feature ANTI JOIN (FROM meeting WHERE contains) AS meeting USING (feature_key)
), shown AS (
    SELECT feature_key, ST_Union_Agg(footprint) AS footprint
    FROM (FROM meeting SEMI JOIN open USING (feature_key)) JOIN counting USING (raster_key)
    GROUP BY feature_key
), remaining AS (
    SELECT feature_key, feature_id, turn, geometry AS whole,
           CASE WHEN footprint IS NULL THEN geometry ELSE ST_Difference(geometry, footprint) END AS rest
    FROM open JOIN (SELECT feature_key, feature_id, geometry FROM feature_now) AS feature USING (feature_key)
    LEFT JOIN shown USING (feature_key)
)
SELECT feature_key, feature_id, ST_AsWKB(rest)::BLOB AS geometry, 1::BIGINT AS lacking
FROM remaining
WHERE NOT ST_IsEmpty(rest) AND ST_Area(rest) >= 1e-6 * ST_Area(whole) AND ST_Length(rest) >= 1e-6 * ST_Length(whole)
ORDER BY turn
