-- rasters_to_label.sql: rasters of $collection whose label $name is missing or outdated, and labels to remove
-- needs: drawn_feature, current_drawn_feature, current_raster, current_label, current_feature, state.raster, state.class, chain_event,
-- variable position, $collection, $name, $rebuild_all · makes: temp tables outdated_label, removed_raster
CREATE OR REPLACE TEMP TABLE outdated_label AS
WITH raster AS (
    SELECT * FROM current_raster WHERE collection = $collection AND storage <> 'catalogue'
), parent AS (
    -- The extent, in the pixels of each chip, of the raster that it was cut from, as that was then.
    SELECT raster.raster_key, [-raster.col, -raster."row", source.width, source.height] AS valid_window
    FROM raster JOIN state.raster AS source ON source.raster_id = raster.parent_id
    AND source.valid_from <= raster.valid_from AND source.valid_to > raster.valid_from
), last_run AS (
    -- A run makes every label that is outdated then, but records only those whose bytes changed.
    SELECT coalesce(max(position), 0) AS run_position FROM chain_event
    WHERE position <= getvariable('position') AND (payload->>'$.recipe.name') = $name
), taken AS (
    -- Where events took labels from another branch or an earlier revision, and up to which position these take changes into account.
    SELECT position AS valid_from, coalesce((payload->>'$.labels_up_to')::BIGINT, 0) AS made_at
    FROM chain_event WHERE kind IN ('branch_merged', 'event_reverted')
), label AS (
    SELECT raster_id, path AS label_path, sha256 AS label_sha256,
           CASE WHEN run_position >= valid_from THEN run_position ELSE coalesce(taken.made_at, valid_from) END AS made_at
    FROM current_label LEFT JOIN taken USING (valid_from), last_run WHERE label = $name
), feature_change AS (
    -- Where edges began or ended.
    SELECT raster_key, max(greatest(valid_from, CASE WHEN valid_to <= getvariable('position') THEN valid_to END)) AS changed_at
    FROM drawn_feature SEMI JOIN raster USING (raster_key) WHERE valid_from <= getvariable('position') GROUP BY raster_key
), class_change AS (
    -- Where classes of drawn features were added, removed or got another value.
    SELECT raster_key, max(changed_at) AS changed_at
    FROM (SELECT class, max(greatest(valid_from, CASE WHEN valid_to <= getvariable('position') THEN valid_to END)) AS changed_at
          FROM state.class WHERE valid_from <= getvariable('position') GROUP BY class)
    JOIN (SELECT feature_key, class FROM current_feature) USING (class)
    JOIN current_drawn_feature USING (feature_key) SEMI JOIN raster USING (raster_key)
    GROUP BY raster_key
)
SELECT raster_key, raster_id, path, crs, transform, width, height, valid_window, label_path, label_sha256
FROM raster LEFT JOIN label USING (raster_id) LEFT JOIN parent USING (raster_key)
LEFT JOIN feature_change USING (raster_key) LEFT JOIN class_change USING (raster_key)
WHERE $rebuild_all OR made_at IS NULL OR made_at < greatest(valid_from, feature_change.changed_at, class_change.changed_at)
ORDER BY raster_id;

CREATE OR REPLACE TEMP TABLE removed_raster AS
SELECT raster_id FROM current_label ANTI JOIN
    (SELECT raster_id FROM current_raster WHERE collection = $collection AND storage <> 'catalogue') USING (raster_id)
WHERE label = $name ORDER BY raster_id;
