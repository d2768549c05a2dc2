-- annotated_features.sql: the features that an import of annotations made on some rasters: their column image names one
-- needs: features, $rasters · makes: one result: feature_id
SELECT feature_id::VARCHAR AS feature_id
FROM features_unordered SEMI JOIN (SELECT unnest($rasters::VARCHAR[]) AS image) AS raster USING (image)
ORDER BY feature_id;
