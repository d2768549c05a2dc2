-- renamings.sql: the events that rename, or make virtual chips files, and do nothing else; the names that each recipe has had, each up to the position `until`; the position since which
--   it has its parameters; the versions of rasters that an event renamed, with the position since which they have their content; and the
--   name that something has now which had `name` after `since` and before `until`
-- needs: state.recipe, state.raster, state.renaming, chain_event, macro is_current, variable position ·
-- makes: temp tables renaming_event, recipe_name, recipe_since, raster_with_new_name, later_name
CREATE OR REPLACE TEMP TABLE renaming_event AS
SELECT position, any_value(subject) AS subject FROM state.renaming
WHERE position <= getvariable('position') AND NOT is_merged GROUP BY position
-- Chips that become files keep their content, too.
UNION ALL SELECT position, 'storage' FROM chain_event WHERE kind = 'chips_materialised' AND position <= getvariable('position');

CREATE OR REPLACE TEMP TABLE recipe_name AS
WITH RECURSIVE former AS (
    SELECT name AS recipe, name, 9223372036854775807 AS until FROM state.recipe WHERE is_current(valid_from, valid_to)
    UNION ALL
    SELECT recipe, arg_max(renaming.old_name, renaming.position), max(renaming.position)
    FROM former JOIN state.renaming AS renaming
    ON renaming.subject = 'recipe' AND renaming.name = former.name AND renaming.position < until
    WHERE renaming.position <= getvariable('position') GROUP BY recipe
)
FROM former;

CREATE OR REPLACE TEMP TABLE recipe_since AS
SELECT recipe, max(valid_from) AS recorded_at
FROM recipe_name JOIN (SELECT name, valid_from FROM state.recipe WHERE valid_from NOT IN (SELECT position FROM state.renaming)) USING (name)
WHERE valid_from < until AND valid_from <= getvariable('position') GROUP BY recipe;

CREATE OR REPLACE TEMP TABLE raster_with_new_name AS
SELECT later.raster_key, max(earlier.valid_from) AS content_from
FROM (SELECT raster_id, raster_key, valid_from FROM state.raster WHERE valid_from IN (SELECT position FROM renaming_event)) AS later
JOIN (SELECT raster_id, valid_from FROM state.raster WHERE valid_from NOT IN (SELECT position FROM renaming_event)) AS earlier
ON earlier.raster_id = later.raster_id AND earlier.valid_from < later.valid_from
GROUP BY later.raster_key;

CREATE OR REPLACE TEMP TABLE later_name AS
WITH RECURSIVE renamed AS (
    SELECT subject, old_name AS name, position AS until, name AS later, position AS renamed_at FROM state.renaming
    WHERE position <= getvariable('position')
    UNION ALL
    SELECT renamed.subject, renamed.name, until, arg_min(next.name, next.position), min(next.position)
    FROM renamed JOIN state.renaming AS next ON next.subject = renamed.subject AND next.old_name = later AND next.position > renamed_at
    WHERE next.position <= getvariable('position') GROUP BY renamed.subject, renamed.name, until
)
SELECT subject, name, until, arg_max(later, renamed_at) AS later,
       coalesce(lag(until) OVER (PARTITION BY subject, name ORDER BY until), 0) AS since
FROM renamed GROUP BY subject, name, until;
