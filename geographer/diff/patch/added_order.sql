-- added_order.sql: the order of addition of moved objects of {subject} in both revisions: generation of the event, and the place in it
--   if that event keeps the order of its rows
-- needs: moved_{subject} (see moved_objects.sql), chain_{subject}_change, event_order, given_order, $old, $new ·
-- makes: one result: {subject}_id, old and new order as lists
WITH addition AS (
    SELECT {subject}_id, position, false AS is_set, added + if(keeps_row_order, ordinal, 0) AS added
    FROM chain_{subject}_change JOIN event_order USING (position) WHERE change = 'added' AND position <= greatest($old, $new)
    UNION ALL
    SELECT object_id, position, true, added FROM given_order
    WHERE subject = '{subject}' AND position <= greatest($old, $new)
), moved_order AS (
    SELECT {subject}_id, arg_max(added, (position, is_set)) FILTER (position <= $old) AS old_order,
           arg_max(added, (position, is_set)) FILTER (position <= $new) AS new_order
    FROM addition SEMI JOIN moved_{subject} USING ({subject}_id)
    GROUP BY ALL
)
SELECT {subject}_id, [old_order >> 32, old_order & 4294967295] AS old_order, [new_order >> 32, new_order & 4294967295] AS new_order
FROM moved_order;
