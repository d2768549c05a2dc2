-- used_classes.sql: the classes of the features that there are after the import
-- needs: current_feature, departed_feature, incoming_feature · makes: one result: class
SELECT class FROM current_feature
ANTI JOIN (FROM departed_feature WHERE is_removed) USING (feature_id)
ANTI JOIN (FROM incoming_feature WHERE is_imported) USING (feature_id)
UNION SELECT class FROM incoming_feature WHERE is_imported;
