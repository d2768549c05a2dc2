-- stored_features.sql: annotated features with {columns}: those of the annotations, else those of the feature in the dataset
-- needs: annotated_feature, features, current_feature · makes: one result: feature_id, class, geometry, {columns}
SELECT feature_id, class, geometry, {columns}
FROM (
    SELECT annotated_feature.* REPLACE (
               if(keeps_geometry, ST_AsWKB(coalesce(version.native, version.geometry))::BLOB, annotated_feature.geometry) AS geometry,
               if(keeps_geometry, version.crs, annotated_feature.crs) AS crs),
           stored
    FROM annotated_feature
    LEFT JOIN features_unordered AS stored ON stored.feature_id::VARCHAR = annotated_feature.feature_id
    LEFT JOIN current_feature AS version ON version.feature_id = annotated_feature.feature_id
)
ORDER BY row;
