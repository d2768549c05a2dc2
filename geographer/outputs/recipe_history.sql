-- recipe_history.sql: the events that recorded, changed, ran, renamed or removed the recipe $name, and how many objects of it each changed;
--   those before it was renamed, too
-- needs: state.recipe, state.recipe_record, state.raster, state.renaming, log.chain, log.raster_change, log.label_change, log.split_change,
-- $name, $branch · makes: one result: position, object, ordinal, change, detail, parent
WITH RECURSIVE own_name AS (
    SELECT $name AS name, 9223372036854775807 AS until
    UNION ALL
    SELECT arg_max(renaming.old_name, renaming.position), max(renaming.position)
    FROM own_name JOIN state.renaming AS renaming
    ON renaming.subject = 'recipe' AND renaming.name = own_name.name AND renaming.position < until HAVING count(*) > 0
), renamed AS (
    SELECT DISTINCT old_name, renaming.name, position FROM state.renaming AS renaming
    JOIN own_name ON subject = 'recipe' AND ((renaming.name = own_name.name AND position < until)
                                             OR (old_name = own_name.name AND position <= until))
), version AS (
    SELECT recipe.name, kind, position AS created_at, valid_from, valid_to
    FROM state.recipe AS recipe JOIN own_name ON recipe.name = own_name.name AND valid_from < until
), chain AS (
    SELECT position, event_key FROM log.chain WHERE branch = $branch
), changed_object AS (
    SELECT event_key, 'raster' AS object, recipe AS name, change FROM log.raster_change
    UNION ALL SELECT event_key, 'label', label, change FROM log.label_change
    UNION ALL SELECT event_key, 'split', split, change FROM log.split_change
), own_object AS (
    SELECT event_key, object, change FROM changed_object JOIN own_name USING (name) JOIN chain USING (event_key) WHERE position < until
), last_version AS (
    SELECT raster_id, valid_to AS position FROM state.raster AS raster JOIN own_name ON recipe = own_name.name AND valid_from < until
    WHERE valid_to < 9223372036854775807
), removed_raster AS (
    -- A removal names the raster only: the recipe is that of the version that it ended.
    SELECT event_key FROM last_version JOIN chain USING (position)
    JOIN (SELECT event_key, raster_id FROM log.raster_change WHERE change = 'removed') USING (event_key, raster_id)
)
SELECT record.position, 'recipe' AS object, 0 AS ordinal, kind AS detail, NULL::VARCHAR AS parent,
       CASE record.position WHEN created_at THEN 'added' WHEN valid_from THEN 'changed' ELSE 'ran' END AS change
FROM (SELECT DISTINCT name, position FROM state.recipe_record) AS record
JOIN version ON version.name = record.name AND record.position >= valid_from AND record.position < valid_to
WHERE record.position NOT IN (SELECT position FROM renamed)
UNION ALL BY NAME
SELECT position, 'recipe' AS object, 0 AS ordinal, old_name || ' → ' || name AS detail, 'renamed' AS change FROM renamed
UNION ALL BY NAME
SELECT valid_to AS position, 'recipe' AS object, 0 AS ordinal, kind AS detail, 'removed' AS change FROM version
WHERE valid_to < 9223372036854775807 AND (name, valid_to) NOT IN (SELECT (name, valid_from) FROM version)
  AND valid_to NOT IN (SELECT position FROM renamed)
UNION ALL BY NAME
SELECT position, object, 1 AS ordinal, change, count(*) || if(object = 'split', ' assignment', ' ' || object) || if(count(*) = 1, '', 's') AS detail
FROM (FROM own_object UNION ALL SELECT event_key, 'raster', 'removed' FROM removed_raster) JOIN chain USING (event_key) GROUP BY position, object, change;
