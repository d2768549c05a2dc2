-- annotated_features.sql: the features on some rasters (column image) that imports of annotations from a file of this name made
-- needs: features, chain_event, chain_feature_change, $rasters, $name, variable position · makes: one result: feature_id
SELECT feature_id::VARCHAR AS feature_id
FROM features_unordered
WHERE image IN (SELECT unnest($rasters::VARCHAR[])) AND feature_id::VARCHAR IN (
    SELECT feature_id FROM chain_feature_change JOIN chain_event USING (position)
    WHERE kind = 'annotations_imported' AND change <> 'removed' AND position <= getvariable('position')
          AND parse_filename(payload->>'$.source') = $name)
ORDER BY ALL;
