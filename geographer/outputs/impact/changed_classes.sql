-- changed_classes.sql: the classes whose value differs between two positions; null where there is no such class
-- needs: state.class, $from_position, $to_position · makes: one result: class, from_value, to_value
WITH version AS (
    SELECT class, value, valid_from <= $from_position AND valid_to > $from_position AS is_old,
           valid_from <= $to_position AND valid_to > $to_position AS is_new
    FROM state.class WHERE is_old OR is_new
)
SELECT class, old.value AS from_value, new.value AS to_value
FROM (FROM version WHERE is_old) AS old FULL JOIN (FROM version WHERE is_new) AS new USING (class)
WHERE old.value IS DISTINCT FROM new.value
ORDER BY coalesce(old.value, new.value), class;
