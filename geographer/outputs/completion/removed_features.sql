-- removed_features.sql: the ids that earlier revisions have and the head has not, which can be restored
-- needs: state.feature, state.meta · makes: rows of name
WITH version AS (SELECT feature_id, valid_to > (SELECT max(position) FROM state.meta) AS is_current FROM state.feature),
     ended AS MATERIALIZED (SELECT DISTINCT feature_id FROM version WHERE NOT is_current)
SELECT feature_id AS name
FROM ended
ANTI JOIN (FROM version SEMI JOIN ended USING (feature_id) WHERE is_current) USING (feature_id)
