-- selected_features.sql: the selected features with all their columns, in their order; geometries as WKB in longitude/latitude
SELECT features.* REPLACE (features.feature_id::VARCHAR AS feature_id, ST_AsWKB(geometry)::BLOB AS geometry)
FROM features JOIN selected_feature ON features.feature_id::VARCHAR = selected_feature.feature_id
ORDER BY turn;
