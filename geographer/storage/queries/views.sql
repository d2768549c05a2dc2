-- views.sql: the tables of a revision: those of the state at the position in the session variable 'position', and users' tables
-- needs: tables of the state, views of the chain, variables position, workspace_position and cache_folder · makes: macro is_current, views current_class,
-- current_feature, current_raster, current_edge, current_label, current_label_object, current_split,
-- current_unreadable_row, event_order, patched_order, given_order, feature_order, raster_order, merge_event, selected_input, classes, splits, events, tags,
-- recipes, content_line, shown_file, hidden_file, macro locate_file
CREATE OR REPLACE TEMP MACRO is_current(valid_from, valid_to) AS
    valid_from <= getvariable('position') AND valid_to > getvariable('position');
CREATE OR REPLACE TEMP VIEW current_class AS FROM state.class WHERE is_current(valid_from, valid_to);
CREATE OR REPLACE TEMP VIEW current_feature AS FROM state.feature WHERE is_current(valid_from, valid_to);
CREATE OR REPLACE TEMP VIEW current_raster AS FROM state.raster WHERE is_current(valid_from, valid_to);
CREATE OR REPLACE TEMP VIEW current_edge AS FROM state.edge WHERE is_current(valid_from, valid_to);
CREATE OR REPLACE TEMP VIEW current_label AS FROM state.label WHERE is_current(valid_from, valid_to);
CREATE OR REPLACE TEMP VIEW current_label_object AS FROM state.label_object WHERE is_current(valid_from, valid_to);
CREATE OR REPLACE TEMP VIEW current_split AS FROM state.split WHERE is_current(valid_from, valid_to);
CREATE OR REPLACE TEMP VIEW current_unreadable_row AS FROM state.unreadable_row WHERE is_current(valid_from, valid_to);

-- The order of addition: by generation and digest of the last event that added the object, then by the place in it, which is 0
-- (ordered by id) except for objects of an import, which keep the order that they had in the other dataset (`ordinal`).
-- The digest decides only where several events have one generation, which needs branches.
CREATE OR REPLACE TEMP VIEW merge_event AS SELECT position FROM state.event WHERE keeps_row_order;
CREATE OR REPLACE TEMP VIEW event_order AS
SELECT position, generation << 32 AS added, keeps_row_order,
       if(generation IN (SELECT generation FROM log.event GROUP BY generation HAVING count(*) > 1), digest, '') AS added_by
FROM state.event;

-- The order that patches gave to objects, so that a revision that they lead back to has its order. Numbers that no event can
-- have, which verify reports, give none. (json_each would keep a copy of the payload for each object.)
CREATE OR REPLACE TEMP VIEW patched_order AS
SELECT position, subject, object_id, added
FROM (
    SELECT position, subject, item.key AS object_id,
           CASE WHEN item.value[1] BETWEEN 0 AND 2147483647 AND item.value[2] BETWEEN 0 AND 4294967295
                THEN (item.value[1] << 32) + item.value[2] END AS added
    FROM (
        SELECT position, subject, unnest(map_entries(TRY_CAST(orders AS MAP(VARCHAR, BIGINT[])))) AS item
        FROM (SELECT position, unnest(['feature', 'raster']) AS subject,
                     unnest([payload->'$.order.feature', payload->'$.order.raster']) AS orders
              FROM chain_event WHERE kind = 'patch_applied')
    )
)
WHERE added IS NOT NULL;

-- The orders that patches gave, and those that merges added from another branch.
CREATE OR REPLACE TEMP VIEW given_order AS
SELECT position, subject, object_id, added, '' AS added_by FROM patched_order
UNION ALL
SELECT position, subject, object_id, (TRY_CAST(generation AS UINTEGER)::BIGINT << 32) + TRY_CAST(place AS UINTEGER), digest
FROM chain_object_order WHERE change <> 'removed';

CREATE OR REPLACE TEMP VIEW feature_order AS
SELECT feature_id, if(given_at >= packed >> 32, given.added, event_order.added + if(keeps_row_order, packed & 4294967295, 0)) AS added,
       if(given_at >= packed >> 32, given.added_by, event_order.added_by) AS added_by
FROM (SELECT feature_id, max((position << 32) + ordinal) AS packed FROM chain_feature_change
      WHERE change = 'added' AND position <= getvariable('position') GROUP BY feature_id)
JOIN event_order ON position = packed >> 32
LEFT JOIN (SELECT object_id, max(position) AS given_at, arg_max({'added': added, 'added_by': added_by}, position) AS given FROM given_order
           WHERE subject = 'feature' AND position <= getvariable('position') AND added IS NOT NULL GROUP BY object_id) ON object_id = feature_id;

CREATE OR REPLACE TEMP VIEW raster_order AS
SELECT raster_id, if(given_at >= packed >> 32, given.added, event_order.added + if(keeps_row_order, packed & 4294967295, 0)) AS added,
       if(given_at >= packed >> 32, given.added_by, event_order.added_by) AS added_by
FROM (SELECT raster_id, max((position << 32) + ordinal) AS packed FROM chain_raster_change
      WHERE change = 'added' AND position <= getvariable('position') GROUP BY raster_id)
JOIN event_order ON position = packed >> 32
LEFT JOIN (SELECT object_id, max(position) AS given_at, arg_max({'added': added, 'added_by': added_by}, position) AS given FROM given_order
           WHERE subject = 'raster' AND position <= getvariable('position') AND added IS NOT NULL GROUP BY object_id) ON object_id = raster_id;

CREATE OR REPLACE TEMP VIEW classes AS SELECT class, value FROM current_class ORDER BY value;

-- The stored files that the workspace shows, at the position in the variable 'workspace_position', and those of this revision
-- that it does not show. DVC's cache has every version of every file.
CREATE OR REPLACE TEMP VIEW shown_file AS
SELECT path, md5 FROM state.raster
WHERE storage = 'dvc' AND valid_from <= getvariable('workspace_position') AND valid_to > getvariable('workspace_position')
UNION ALL
SELECT path, md5 FROM state.label
WHERE valid_from <= getvariable('workspace_position') AND valid_to > getvariable('workspace_position');

CREATE OR REPLACE TEMP VIEW hidden_file AS
FROM (SELECT path, md5 FROM current_raster WHERE storage = 'dvc' UNION ALL SELECT path, md5 FROM current_label)
ANTI JOIN shown_file USING (path, md5);

CREATE OR REPLACE TEMP MACRO locate_file(file_path, file_md5) AS
    CASE WHEN file_md5 || file_path IN (SELECT md5 || path FROM shown_file) THEN file_path
         ELSE getvariable('cache_folder') || '/' || file_md5[:2] || '/' || file_md5[3:] END;

CREATE OR REPLACE TEMP VIEW splits AS SELECT split, raster_id, part FROM current_split ORDER BY split, raster_id;

CREATE OR REPLACE TEMP VIEW events AS
SELECT position, kind, recorded_at::TIMESTAMP AS recorded_at, author, message, digest FROM chain_event
WHERE position <= getvariable('position') ORDER BY position;

CREATE OR REPLACE TEMP VIEW tags AS
SELECT tag, tagged_position AS position, tag.digest, content_digest, merkle_root, tag.version, recorded_at::TIMESTAMP AS recorded_at,
       author, message, log_root
FROM state.tag AS tag JOIN chain_event AS event ON event.position = tag.position
WHERE tag.position <= getvariable('position')
-- A tag moves only when a conflict of a merge is resolved.
QUALIFY row_number() OVER (PARTITION BY tag ORDER BY tag.position DESC) = 1 ORDER BY tag;

-- The objects that each recipe's selectors chose when it was last recorded, or that a later merge recorded.
CREATE OR REPLACE TEMP VIEW selected_input AS
SELECT recipe, subject, object_id
FROM (FROM chain_recipe_input WHERE subject <> 'box' AND position <= getvariable('position')) AS input
WHERE position >= (SELECT coalesce(max(record.position), 0) FROM state.recipe_record AS record
                   WHERE record.position <= getvariable('position') AND record.name = input.recipe);

CREATE OR REPLACE TEMP VIEW recipes AS
SELECT name, kind, parameters, position FROM state.recipe WHERE is_current(valid_from, valid_to) ORDER BY generation, added_by, place;

-- One line for each object: what the content digest and the Merkle root cover, unreadable versions of objects as well;
-- a row without an id is of no object.
CREATE OR REPLACE TEMP VIEW content_line AS
WITH readable AS (
    SELECT 'class_change' AS table_name, class AS object, row_digest FROM current_class
    UNION ALL SELECT 'feature_change', feature_id, row_digest FROM current_feature
    UNION ALL SELECT 'label_change', concat_ws('/', label, raster_id), row_digest FROM current_label
    UNION ALL SELECT 'label_object_change', concat_ws('/', label, raster_id, feature_id), row_digest FROM current_label_object
    UNION ALL SELECT 'raster_change', raster_id, row_digest FROM current_raster
    UNION ALL SELECT 'split_change', concat_ws('/', split, raster_id), row_digest FROM current_split
)
SELECT replace(table_name, '_change', '') || ' ' || row_digest AS line
FROM (FROM readable ANTI JOIN current_unreadable_row USING (table_name, object)
      UNION ALL SELECT table_name, object, row_digest FROM current_unreadable_row WHERE object IS NOT NULL);
