-- object_pairs.sql: pairs of certified rasters of different parts that show one of the listed features
-- needs: certified_raster, current_edge, current_feature, $keys, $limit · makes: one result: raster_a, raster_b, feature_id
WITH shown AS (
    SELECT feature_key, raster_index, part_number FROM current_edge JOIN certified_raster USING (raster_key)
    WHERE list_contains($keys::BIGINT[], feature_key)
)
SELECT a.raster_index AS raster_a, b.raster_index AS raster_b, feature_id
FROM shown AS a JOIN shown AS b ON a.feature_key = b.feature_key AND a.raster_index < b.raster_index AND a.part_number <> b.part_number
JOIN current_feature ON current_feature.feature_key = a.feature_key
ORDER BY feature_id, raster_a, raster_b LIMIT $limit;
