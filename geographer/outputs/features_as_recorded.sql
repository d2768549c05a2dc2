-- features_as_recorded.sql: the selected features with their geometry as it was recorded, WKB in `crs`
-- needs: selected_feature (columns of features, and "(key)"), chain_feature_change · makes: temp table recorded_feature
CREATE OR REPLACE TEMP TABLE recorded_feature AS
SELECT selected_feature.* EXCLUDE ("(key)") REPLACE (change.geometry AS geometry), change.crs AS "(crs)"
FROM selected_feature
JOIN chain_feature_change AS change ON position = "(key)" >> 32 AND ordinal = "(key)" & 4294967295
ORDER BY "(key)";
