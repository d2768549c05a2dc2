-- class_history.sql: the events that added, changed, renamed or removed the class $name; those before it was renamed, too
-- needs: log.class_change, log.chain, state.renaming, $name, $branch · makes: one result: position, object, ordinal, change, detail, parent
WITH RECURSIVE own_name AS (
    SELECT $name AS name, 9223372036854775807 AS until
    UNION ALL
    SELECT arg_max(renaming.old_name, renaming.position), max(renaming.position)
    FROM own_name JOIN state.renaming AS renaming
    ON renaming.subject = 'class' AND renaming.name = own_name.name AND renaming.position < until HAVING count(*) > 0
), renamed AS (
    SELECT DISTINCT old_name, renaming.name, position FROM state.renaming AS renaming
    JOIN own_name ON subject = 'class' AND ((renaming.name = own_name.name AND position < until)
                                            OR (old_name = own_name.name AND position <= until))
)
SELECT position, 'class' AS object, ordinal, change, 'value ' || value AS detail, NULL::VARCHAR AS parent
FROM log.class_change JOIN (SELECT position, event_key FROM log.chain WHERE branch = $branch) USING (event_key)
JOIN own_name ON class = own_name.name AND position < until
WHERE position NOT IN (SELECT position FROM renamed)
UNION ALL
SELECT position, 'class', 0, 'renamed', old_name || ' → ' || name, NULL FROM renamed;
