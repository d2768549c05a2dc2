-- class_places.sql: which event created each class, as of a position of the chain
-- needs: chain_class_change, chain_object_order, chain_event, $position · makes: one result: class, generation, digest
WITH entry AS (
    SELECT class, position, 0 AS rank, {'generation': generation, 'digest': digest} AS place
    FROM chain_class_change JOIN chain_event USING (position) WHERE change = 'added' AND position <= $position
    UNION ALL
    SELECT object_id, position, 1, {'generation': TRY_CAST(generation AS BIGINT), 'digest': digest}
    FROM chain_object_order WHERE subject = 'class' AND change <> 'removed' AND position <= $position
)
SELECT class, arg_max(place, row(position, rank)).generation AS generation, arg_max(place, row(position, rank)).digest AS digest
FROM entry GROUP BY class;
