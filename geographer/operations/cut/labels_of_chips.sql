-- labels_of_chips.sql: the labels $labels, which users added as files, of the rasters to cut; and those of the chips of the recipe $name,
--   each with the SHA-256 of the label of its parent that it was cut from
-- needs: raster_to_cut, current_label, current_raster, state.label, chain_event, renaming_event, recipe_name, variable position,
--   $name, $labels · makes: temp tables parent_label, chip_label
CREATE OR REPLACE TEMP TABLE parent_label AS
SELECT label, raster_id, path, size, md5, sha256
FROM current_label SEMI JOIN raster_to_cut USING (raster_id) WHERE list_contains($labels::VARCHAR[], label);

CREATE OR REPLACE TEMP TABLE chip_label AS
WITH own_name AS (
    SELECT name, until FROM recipe_name WHERE recipe = $name UNION SELECT $name, 9223372036854775807
), label_name AS (
    SELECT recipe AS label, name AS old_name, until FROM recipe_name WHERE list_contains($labels::VARCHAR[], recipe)
    UNION SELECT unnest($labels::VARCHAR[]), unnest($labels::VARCHAR[]), 9223372036854775807
), last_run AS (
    -- A run cuts every label that is outdated then, but records only those whose bytes changed.
    SELECT coalesce(max(position), 0) AS run_position
    FROM (SELECT position, payload->>'$.recipe.name' AS name FROM chain_event) JOIN own_name USING (name)
    WHERE position <= getvariable('position') AND position < until
), taken AS (
    -- Where events took labels from another branch or an earlier revision, and up to which position these take changes into account.
    SELECT position AS valid_from, coalesce((payload->>'$.labels_up_to')::BIGINT, 0) AS made_at
    FROM chain_event WHERE kind IN ('branch_merged', 'event_reverted')
), label AS (
    SELECT label, raster_id, parent_id, path, sha256, valid_from
    FROM current_label JOIN (SELECT raster_id, parent_id FROM current_raster WHERE recipe = $name AND parent_id IS NOT NULL) USING (raster_id)
    WHERE list_contains($labels::VARCHAR[], label)
), renamed AS (
    -- The position since which a renamed label has its content.
    SELECT label, raster_id, max(earlier.valid_from) AS content_from
    FROM (SELECT label, raster_id FROM label WHERE valid_from IN (SELECT position FROM renaming_event)) JOIN label_name USING (label)
    JOIN (SELECT label AS old_name, raster_id, valid_from FROM state.label) AS earlier USING (old_name, raster_id)
    WHERE earlier.valid_from <= getvariable('position') AND earlier.valid_from < until
      AND earlier.valid_from NOT IN (SELECT position FROM renaming_event)
    GROUP BY label, raster_id
), dated AS (
    SELECT label, raster_id, parent_id, path, sha256,
           CASE WHEN run_position >= valid_from THEN run_position ELSE coalesce(taken.made_at, valid_from) END AS made_at
    FROM (SELECT label.* REPLACE (coalesce(content_from, valid_from) AS valid_from) FROM label LEFT JOIN renamed USING (label, raster_id))
    LEFT JOIN taken USING (valid_from), last_run
)
SELECT dated.label, dated.raster_id, any_value(dated.path) AS path, any_value(dated.sha256) AS sha256, any_value(source.sha256) AS source_sha256
FROM dated JOIN label_name ON label_name.label = dated.label
LEFT JOIN state.label AS source
ON source.label = old_name AND source.raster_id = parent_id AND source.valid_from <= made_at AND source.valid_to > made_at
GROUP BY dated.label, dated.raster_id;
