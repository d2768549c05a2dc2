-- pair_relations.sql: whether the raster of each requested pair contains the feature (true) or intersects it (false); null: neither
-- needs: requested_pair, requested_feature, requested_raster, current_edge · makes: one result: contains, in the order of the pairs
SELECT contains
FROM requested_pair
JOIN (SELECT id AS feature_id, feature_key FROM requested_feature) USING (feature_id)
JOIN (SELECT id AS raster_id, raster_key FROM requested_raster) USING (raster_id)
LEFT JOIN current_edge USING (feature_key, raster_key)
ORDER BY index;
