-- features_to_cut.sql: the selected features with all their columns, by rank; geometries as WKB in longitude/latitude
-- needs: features, feature_to_cut · makes: one result: the columns of features
SELECT features.* REPLACE (features.feature_id::VARCHAR AS feature_id, ST_AsWKB(geometry)::BLOB AS geometry)
FROM features JOIN feature_to_cut ON features.feature_id::VARCHAR = feature_to_cut.feature_id
ORDER BY feature_to_cut.rank;
