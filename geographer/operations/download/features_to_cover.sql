-- features_to_cover.sql: the features that the recipe's expression or selector keeps, ranked by the event that added them
-- needs: current_feature, feature_order, filtered_feature · makes: temp table feature_to_cover: feature_key, rank
CREATE OR REPLACE TEMP TABLE feature_to_cover AS
SELECT feature_key, row_number() OVER (ORDER BY added, added_by, feature_id) AS rank
FROM current_feature JOIN feature_order USING (feature_id) SEMI JOIN filtered_feature USING (feature_id)
