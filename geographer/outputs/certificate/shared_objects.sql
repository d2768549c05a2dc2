-- shared_objects.sql: features that certified rasters of several parts show, with the number of pairs of such rasters, and whether they count
-- needs: certified_raster, counted_feature, current_edge, current_feature · makes: one result: feature_key, feature_id, pairs, counts
WITH shown AS (
    SELECT feature_key, part_number, count(*)::BIGINT AS rasters
    FROM current_edge JOIN certified_raster USING (raster_key) GROUP BY ALL
), shared AS (
    SELECT feature_key, ((sum(rasters) ** 2 - sum(rasters ** 2)) / 2)::BIGINT AS pairs
    FROM shown GROUP BY feature_key HAVING count(*) > 1
)
SELECT feature_key, feature_id, pairs, feature_key IN (FROM counted_feature) AS counts
FROM shared JOIN current_feature USING (feature_key) ORDER BY feature_id;
