-- moved_objects.sql: the objects of {subject} that are in one revision only, or that an event between them added again or gave
--   another place in the order of addition
-- needs: old_side_{subject}, new_side_{subject} (see side_versions.sql), chain_{subject}_change, given_order, $old, $new ·
-- makes: temp table moved_{subject}: {subject}_id
CREATE OR REPLACE TEMP TABLE moved_{subject} AS
WITH differing AS (
    SELECT {subject}_id FROM old_side_{subject} UNION ALL SELECT {subject}_id FROM new_side_{subject}
), addition AS (
    SELECT {subject}_id FROM chain_{subject}_change
    WHERE change = 'added' AND position > least($old, $new) AND position <= greatest($old, $new)
    UNION ALL
    SELECT object_id FROM given_order
    WHERE subject = '{subject}' AND position > least($old, $new) AND position <= greatest($old, $new)
)
SELECT {subject}_id FROM differing GROUP BY ALL HAVING count(*) = 1
UNION SELECT {subject}_id FROM addition SEMI JOIN differing USING ({subject}_id);
