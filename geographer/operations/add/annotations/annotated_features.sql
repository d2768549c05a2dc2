-- annotated_features.sql: the features on some rasters (column image) that imports from $source, or a path that ends like it, made
-- needs: features, chain_event, chain_feature_change, $rasters, $source, $name, variable position · makes: one result: source, feature_id
SELECT payload->>'$.source' AS source, feature_id
FROM chain_feature_change JOIN chain_event USING (position)
WHERE kind = 'annotations_imported' AND change <> 'removed' AND position <= getvariable('position')
      AND feature_id IN (SELECT feature_id::VARCHAR FROM features_unordered WHERE image IN (SELECT unnest($rasters::VARCHAR[])))
      AND (payload->>'$.source' = $source OR parse_filename(payload->>'$.source') = $name)
ORDER BY position;
