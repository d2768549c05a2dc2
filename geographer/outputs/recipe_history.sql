-- recipe_history.sql: the events that recorded, changed, ran or removed the recipe $name, and how many objects of it each changed
-- needs: state.recipe, state.recipe_record, state.raster, log.chain, log.raster_change, log.label_change, log.split_change, $name, $branch
-- · makes: one result: position, object, ordinal, change, detail, parent
WITH version AS (
    SELECT kind, position AS created_at, valid_from, valid_to FROM state.recipe WHERE name = $name
), chain AS (
    SELECT position, event_key FROM log.chain WHERE branch = $branch
), changed_object AS (
    SELECT event_key, 'raster' AS object, change FROM log.raster_change WHERE recipe = $name
    UNION ALL SELECT event_key, 'label', change FROM log.label_change WHERE label = $name
    UNION ALL SELECT event_key, 'split', change FROM log.split_change WHERE split = $name
), last_version AS (
    SELECT raster_id, valid_to AS position FROM state.raster WHERE recipe = $name AND valid_to < 9223372036854775807
), removed_raster AS (
    -- A removal names the raster only: the recipe is that of the version that it ended.
    SELECT event_key FROM last_version JOIN chain USING (position)
    JOIN (SELECT event_key, raster_id FROM log.raster_change WHERE change = 'removed') USING (event_key, raster_id)
)
SELECT record.position, 'recipe' AS object, 0 AS ordinal, kind AS detail, NULL::VARCHAR AS parent,
       CASE record.position WHEN created_at THEN 'added' WHEN valid_from THEN 'changed' ELSE 'ran' END AS change
FROM (SELECT DISTINCT position FROM state.recipe_record WHERE name = $name) AS record
JOIN version ON record.position >= valid_from AND record.position < valid_to
UNION ALL BY NAME
SELECT valid_to AS position, 'recipe' AS object, 0 AS ordinal, kind AS detail, 'removed' AS change FROM version
WHERE valid_to < 9223372036854775807 AND valid_to NOT IN (SELECT valid_from FROM version)
UNION ALL BY NAME
SELECT position, object, 1 AS ordinal, change, count(*) || if(object = 'split', ' assignment', ' ' || object) || if(count(*) = 1, '', 's') AS detail
FROM (FROM changed_object UNION ALL SELECT event_key, 'raster', 'removed' FROM removed_raster) JOIN chain USING (event_key) GROUP BY position, object, change;
