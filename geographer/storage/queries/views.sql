-- views.sql: the tables of a revision: those of the state at the position in the session variable 'position', and users' tables
-- needs: tables of the state and the log, variable position · makes: macro is_current, views current_class,
-- current_feature, current_raster, current_edge, current_label, current_label_object, current_split, feature_order,
-- raster_order, merge_event, selected_input, classes, labels, splits, events, tags, recipes
CREATE OR REPLACE TEMP MACRO is_current(valid_from, valid_to) AS
    valid_from <= getvariable('position') AND valid_to > getvariable('position');
CREATE OR REPLACE TEMP VIEW current_class AS FROM state.class WHERE is_current(valid_from, valid_to);
CREATE OR REPLACE TEMP VIEW current_feature AS FROM state.feature WHERE is_current(valid_from, valid_to);
CREATE OR REPLACE TEMP VIEW current_raster AS FROM state.raster WHERE is_current(valid_from, valid_to);
CREATE OR REPLACE TEMP VIEW current_edge AS FROM state.edge WHERE is_current(valid_from, valid_to);
CREATE OR REPLACE TEMP VIEW current_label AS FROM state.label WHERE is_current(valid_from, valid_to);
CREATE OR REPLACE TEMP VIEW current_label_object AS FROM state.label_object WHERE is_current(valid_from, valid_to);
CREATE OR REPLACE TEMP VIEW current_split AS FROM state.split WHERE is_current(valid_from, valid_to);

-- The order of addition: the position of the last event that added the object; objects of one event are ordered by id,
-- but objects of a merge keep the order that they had in the other dataset (`ordinal`).
CREATE OR REPLACE TEMP VIEW merge_event AS SELECT position FROM log.event WHERE kind = 'dataset_imported';

CREATE OR REPLACE TEMP VIEW feature_order AS
SELECT feature_id, max((position << 32) + if(position IN (FROM merge_event), ordinal, 0)) AS added FROM log.feature_change
WHERE change = 'added' AND position <= getvariable('position') GROUP BY feature_id;

CREATE OR REPLACE TEMP VIEW raster_order AS
SELECT raster_id, max((position << 32) + if(position IN (FROM merge_event), ordinal, 0)) AS added FROM log.raster_change
WHERE change = 'added' AND position <= getvariable('position') GROUP BY raster_id;

CREATE OR REPLACE TEMP VIEW classes AS SELECT class, value FROM current_class ORDER BY value;
CREATE OR REPLACE TEMP VIEW labels AS SELECT label, raster_id, path, md5 FROM current_label ORDER BY label, raster_id;
CREATE OR REPLACE TEMP VIEW splits AS SELECT split, raster_id, part FROM current_split ORDER BY split, raster_id;

CREATE OR REPLACE TEMP VIEW events AS
SELECT position, kind, recorded_at::TIMESTAMP AS recorded_at, author, message, digest FROM log.event
WHERE position <= getvariable('position') ORDER BY position;

CREATE OR REPLACE TEMP VIEW tags AS
SELECT payload->>'$.tag.tag' AS tag, (payload->>'$.tag.position')::BIGINT AS position,
       payload->>'$.tag.digest' AS digest, payload->>'$.tag.content_digest' AS content_digest
FROM log.event WHERE kind = 'revision_tagged' AND log.event.position <= getvariable('position') ORDER BY tag;

-- The objects that each recipe's selectors chose when it last ran, or that a later merge recorded.
CREATE OR REPLACE TEMP VIEW selected_input AS
SELECT recipe, subject, object_id
FROM (FROM log.recipe_input WHERE subject <> 'box' AND position <= getvariable('position')) AS input
WHERE position >= (SELECT coalesce(max(event.position), 0) FROM log.event AS event
                   WHERE event.position <= getvariable('position') AND (event.payload->>'$.recipe.name') = input.recipe);

CREATE OR REPLACE TEMP VIEW recipes AS
SELECT name, kind, parameters, position FROM state.recipe
WHERE position <= getvariable('position') AND valid_to > getvariable('position') ORDER BY position, rowid;
