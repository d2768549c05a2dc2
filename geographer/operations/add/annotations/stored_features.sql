-- stored_features.sql: annotated features with their CRS and {columns}: of the annotations, else of the feature in the dataset
-- needs: annotated_feature, features, current_feature · makes: one result: feature_id, class, geometry, the CRS, {columns}
SELECT "(annotated)".feature_id, "(annotated)".class,
       if("(annotated)"."(keeps geometry)", ST_AsWKB(coalesce("(version)".native, "(version)".geometry))::BLOB, "(annotated)".geometry) AS geometry,
       if("(annotated)"."(keeps geometry)", "(version)".crs, "(annotated)"."(crs)"){columns}
FROM annotated_feature AS "(annotated)"
LEFT JOIN features_unordered AS "(stored)" ON "(stored)".feature_id::VARCHAR = "(annotated)".feature_id
LEFT JOIN current_feature AS "(version)" ON "(version)".feature_id = "(annotated)".feature_id
ORDER BY "(annotated)"."(row)";
