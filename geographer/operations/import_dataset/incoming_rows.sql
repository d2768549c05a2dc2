-- incoming_rows.sql: the {subject}s of the source dataset, with what they and their version in the common history make of each:
--   `status` is added, equal, changed (only there), kept (changed only here), removed (only here), different (in both), or disputed
--   (removed here, changed there); `is_present`: this dataset has the id; `is_imported`
-- needs: renamed_{subject}, base_{subject}, current_{subject}, $keep_theirs · makes: temp table incoming_{subject}
CREATE OR REPLACE TEMP TABLE incoming_{subject} AS
WITH compared AS (
    SELECT renamed.*, ours.row_digest AS our_digest, base.source_digest AS base_source_digest, base.digest AS base_digest
    FROM (SELECT *, {digest} AS digest FROM renamed_{subject}) AS renamed
    LEFT JOIN (SELECT {subject}_id, row_digest FROM current_{subject}) AS ours USING ({subject}_id)
    LEFT JOIN base_{subject} AS base USING (source_id, {subject}_id)
), with_status AS (
    SELECT * EXCLUDE (our_digest, base_source_digest, base_digest), our_digest IS NOT NULL AS is_present, CASE
        WHEN our_digest = digest THEN 'equal'
        WHEN base_source_digest = source_digest OR (base_digest IS NOT NULL AND our_digest IS DISTINCT FROM base_digest AND {is_derived})
        THEN if(is_present, 'kept', 'removed')
        WHEN our_digest = base_digest THEN 'changed'
        WHEN is_present THEN 'different'
        WHEN base_digest IS NOT NULL THEN 'disputed'
        ELSE 'added' END AS status
    FROM compared
)
SELECT *, status IN ('added', 'changed') OR ($keep_theirs AND status IN ('different', 'disputed')) AS is_imported FROM with_status;
