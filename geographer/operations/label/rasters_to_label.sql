-- rasters_to_label.sql: rasters of $collection whose label $name is missing or outdated, and labels to remove
-- needs: drawn_feature, current_drawn_feature, current_raster, current_label, current_feature, state.raster, state.label, state.class,
-- context_class, chain_event, renaming_event, recipe_name, raster_with_new_name, variable position, $collection, $name, $rebuild_all ·
-- makes: temp tables outdated_label, removed_raster
CREATE OR REPLACE TEMP TABLE outdated_label AS
WITH own_name AS (
    SELECT name, until FROM recipe_name WHERE recipe = $name UNION SELECT $name, 9223372036854775807
), neutral_event AS (
    -- Renaming changes no label of this recipe; that of a class changes none of those that its event names.
    SELECT position FROM renaming_event WHERE subject <> 'class'
    UNION ALL
    SELECT position FROM chain_event JOIN renaming_event USING (position)
    WHERE subject = 'class' AND EXISTS (
        FROM own_name WHERE position < until AND list_contains(json_extract_string(payload, '$.kept_labels[*]'), own_name.name))
), raster AS (
    SELECT current_raster.*, coalesce(content_from, valid_from) AS changed_at
    FROM current_raster LEFT JOIN raster_with_new_name USING (raster_key) WHERE collection = $collection AND storage <> 'catalogue'
), raster_version AS (
    -- The versions of each raster since it has its content: edges are those of a version.
    SELECT raster_key, raster_key AS version_key FROM raster
    UNION ALL
    SELECT raster.raster_key, earlier.raster_key
    FROM raster JOIN (SELECT raster_id, raster_key, valid_from FROM state.raster) AS earlier
    ON earlier.raster_id = raster.raster_id AND earlier.valid_from >= raster.changed_at AND earlier.valid_from < raster.valid_from
    WHERE raster.changed_at < raster.valid_from
), parent AS (
    -- The extent, in the pixels of each chip, of the raster that it was cut from, as that was then.
    SELECT raster.raster_key, [-raster.col, -raster."row", source.width, source.height] AS valid_window
    FROM raster JOIN state.raster AS source ON source.raster_id = raster.parent_id
    AND source.valid_from <= raster.changed_at AND source.valid_to > raster.changed_at
), last_run AS (
    -- A run makes every label that is outdated then, but records only those whose bytes changed.
    SELECT coalesce(max(position), 0) AS run_position
    FROM (SELECT position, payload->>'$.recipe.name' AS name FROM chain_event) JOIN own_name USING (name)
    WHERE position <= getvariable('position') AND position < until
), taken AS (
    -- Where events took labels from another branch or an earlier revision, and up to which position these take changes into account.
    SELECT position AS valid_from, coalesce((payload->>'$.labels_up_to')::BIGINT, 0) AS made_at
    FROM chain_event WHERE kind IN ('branch_merged', 'event_reverted')
), renamed_label AS (
    -- The position since which a renamed label has its content.
    SELECT raster_id, max(earlier.valid_from) AS content_from
    FROM (SELECT raster_id FROM current_label WHERE label = $name AND valid_from IN (SELECT position FROM renaming_event))
    JOIN state.label AS earlier USING (raster_id) JOIN own_name ON earlier.label = own_name.name AND earlier.valid_from < until
    WHERE earlier.valid_from <= getvariable('position') AND earlier.valid_from NOT IN (SELECT position FROM renaming_event)
    GROUP BY raster_id
), label AS (
    SELECT raster_id, label_path, label_sha256,
           CASE WHEN run_position >= valid_from THEN run_position ELSE coalesce(taken.made_at, valid_from) END AS made_at
    FROM (SELECT raster_id, path AS label_path, sha256 AS label_sha256, coalesce(content_from, valid_from) AS valid_from
          FROM current_label LEFT JOIN renamed_label USING (raster_id) WHERE label = $name)
    LEFT JOIN taken USING (valid_from), last_run
), feature_change AS (
    -- Where edges began or ended.
    SELECT raster_version.raster_key, max(greatest(
        CASE WHEN valid_from NOT IN (FROM neutral_event) THEN valid_from END,
        CASE WHEN valid_to <= getvariable('position') AND valid_to NOT IN (FROM neutral_event) THEN valid_to END)) AS changed_at
    FROM drawn_feature JOIN raster_version ON version_key = drawn_feature.raster_key
    WHERE valid_from <= getvariable('position') GROUP BY raster_version.raster_key
), class_change AS (
    -- Where classes of drawn features were added, removed, got another value, or became context classes or ceased to be.
    SELECT raster_key, max(changed_at) AS changed_at
    FROM (SELECT class, max(greatest(
              CASE WHEN valid_from NOT IN (FROM neutral_event) THEN valid_from END,
              CASE WHEN valid_to <= getvariable('position') AND valid_to NOT IN (FROM neutral_event) THEN valid_to END)) AS changed_at
          FROM state.class WHERE valid_from <= getvariable('position') GROUP BY class
          UNION ALL SELECT class, changed_at FROM context_class)
    JOIN (SELECT feature_key, class FROM current_feature) USING (class)
    JOIN current_drawn_feature USING (feature_key) SEMI JOIN raster USING (raster_key)
    GROUP BY raster_key
)
SELECT raster_key, raster_id, path, crs, transform, width, height, valid_window, label_path, label_sha256
FROM raster LEFT JOIN label USING (raster_id) LEFT JOIN parent USING (raster_key)
LEFT JOIN feature_change USING (raster_key) LEFT JOIN class_change USING (raster_key)
WHERE $rebuild_all OR made_at IS NULL OR made_at < greatest(raster.changed_at, feature_change.changed_at, class_change.changed_at)
ORDER BY raster_id;

CREATE OR REPLACE TEMP TABLE removed_raster AS
SELECT raster_id FROM current_label ANTI JOIN
    (SELECT raster_id FROM current_raster WHERE collection = $collection AND storage <> 'catalogue') USING (raster_id)
WHERE label = $name ORDER BY raster_id;
