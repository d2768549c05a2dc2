-- taken_labels.sql: the first position up to which labels that events of the second side took from elsewhere take changes into account
-- needs: side_event, log.event · makes: one row: the position; 0 where it is not known, null if no event took labels
SELECT min(coalesce((payload->>'$.labels_up_to')::BIGINT, 0))
FROM side_event JOIN log.event USING (event_key)
WHERE side = 'second' AND event.kind IN ('branch_merged', 'event_reverted');
