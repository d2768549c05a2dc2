-- views.sql: the dataset as of the position in the variable 'position', as the tables that people query
CREATE OR REPLACE TEMP VIEW feature_now AS
SELECT * FROM state.feature WHERE valid_from <= getvariable('position') AND valid_to > getvariable('position');

CREATE OR REPLACE TEMP VIEW raster_now AS
SELECT * FROM state.raster WHERE valid_from <= getvariable('position') AND valid_to > getvariable('position');

CREATE OR REPLACE TEMP VIEW edge_now AS
SELECT * FROM state.edge WHERE valid_from <= getvariable('position') AND valid_to > getvariable('position');

CREATE OR REPLACE TEMP VIEW label_now AS
SELECT * FROM state.label WHERE valid_from <= getvariable('position') AND valid_to > getvariable('position');

CREATE OR REPLACE TEMP VIEW label_object_now AS
SELECT * FROM state.label_object WHERE valid_from <= getvariable('position') AND valid_to > getvariable('position');

CREATE OR REPLACE TEMP VIEW split_now AS
SELECT * FROM state.split WHERE valid_from <= getvariable('position') AND valid_to > getvariable('position');

CREATE OR REPLACE TEMP VIEW classes AS
SELECT class, value FROM state.class
WHERE valid_from <= getvariable('position') AND valid_to > getvariable('position') ORDER BY value;

-- In which order they were added: the event that began an object's present life; then its id, as text. What another
-- dataset brought keeps the order that it had there.
CREATE OR REPLACE TEMP VIEW merging AS SELECT position FROM log.event WHERE kind = 'dataset_imported';

CREATE OR REPLACE TEMP VIEW feature_order AS
SELECT feature_id, max((position << 32) + if(position IN (FROM merging), ordinal, 0)) AS added FROM log.feature_change
WHERE change = 'added' AND position <= getvariable('position') GROUP BY feature_id;

CREATE OR REPLACE TEMP VIEW raster_order AS
SELECT raster_id, max((position << 32) + if(position IN (FROM merging), ordinal, 0)) AS added FROM log.raster_change
WHERE change = 'added' AND position <= getvariable('position') GROUP BY raster_id;

CREATE OR REPLACE TEMP VIEW labels AS
SELECT label, raster_id, path, md5 FROM label_now ORDER BY label, raster_id;

CREATE OR REPLACE TEMP VIEW splits AS
SELECT split, raster_id, part FROM split_now ORDER BY split, raster_id;

CREATE OR REPLACE TEMP VIEW events AS
SELECT position, kind, recorded_at::TIMESTAMP AS recorded_at, author, message, digest FROM log.event
WHERE position <= getvariable('position') ORDER BY position;

CREATE OR REPLACE TEMP VIEW tags AS
SELECT payload->>'$.tag.tag' AS tag, (payload->>'$.tag.position')::BIGINT AS position,
       payload->>'$.tag.digest' AS digest, payload->>'$.tag.content_digest' AS content_digest
FROM log.event WHERE kind = 'revision_tagged' AND log.event.position <= getvariable('position') ORDER BY tag;

-- What the selectors of each recipe chose when it last ran, and what imports brought of that since.
CREATE OR REPLACE TEMP VIEW chosen_input AS
SELECT recipe, subject, object_id
FROM (FROM log.recipe_input WHERE subject <> 'box' AND position <= getvariable('position')) AS input
WHERE position >= (SELECT coalesce(max(event.position), 0) FROM log.event AS event
                   WHERE event.position <= getvariable('position') AND (event.payload->>'$.recipe.name') = input.recipe);

CREATE OR REPLACE TEMP VIEW recipes AS
SELECT name, kind, parameters, position FROM state.recipe
WHERE position <= getvariable('position') AND valid_to > getvariable('position') ORDER BY position, rowid;
