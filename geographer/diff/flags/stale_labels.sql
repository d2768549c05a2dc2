-- stale_labels.sql: changed features that lie on labels which were last made before that change
-- needs: changed_feature, changed_geometry, chain_event, state.edge, state.raster, state.label, state.recipe, $new ·
-- makes: one result: feature_id, position, has_other_values (not only another geometry), labels (count), label, raster_ids (at most 3),
-- label_ids (of label and each of raster_ids)
WITH renamed_class AS (
    -- The labels that the renaming of a class does not concern.
    SELECT payload->>'$.old_name' AS old_name, payload->>'$.new_name' AS new_name,
           json_extract_string(payload, '$.kept_labels[*]') AS kept_labels
    FROM chain_event WHERE kind = 'class_renamed' AND position <= $new
), last_run AS (
    -- A run makes every label that is outdated then, but records only those whose bytes changed.
    SELECT payload->>'$.recipe.name' AS label, max(position) AS run_position FROM chain_event
    WHERE position <= $new GROUP BY ALL
), recipe AS (
    -- Labels that depend on user columns.
    SELECT name AS label, kind, kind = 'label probabilities' OR (parameters->>'$.ignore_where') IS NOT NULL AS reads_columns
    FROM state.recipe WHERE valid_from <= $new AND valid_to > $new
), label AS (
    SELECT label, raster_key, raster_id, greatest(label.valid_from, run_position) AS made_at, coalesce(reads_columns, false) AS reads_columns
    FROM (FROM state.label WHERE valid_from <= $new AND valid_to > $new) AS label
    JOIN (SELECT raster_key, raster_id FROM state.raster WHERE valid_from <= $new AND valid_to > $new) USING (raster_id)
    LEFT JOIN last_run USING (label) LEFT JOIN recipe USING (label)
    -- Labels that users added as files draw no feature.
    WHERE kind IS DISTINCT FROM 'label files'
), redrawn AS (
    SELECT feature_id, position, coalesce(new.valid_from, CASE WHEN old.valid_to <= $new THEN old.valid_to END) AS changed_at,
           unnest([old.feature_key, new.feature_key]) AS feature_key,
           old.class AS old_class, new.class AS new_class, old.class IS DISTINCT FROM new.class AS has_other_class,
           old.properties IS DISTINCT FROM new.properties AS has_other_properties, coalesce(is_changed, false) AS has_other_geometry
    FROM changed_feature LEFT JOIN changed_geometry USING (feature_id)
), stale AS (
    SELECT DISTINCT feature_id, position, label, raster_id,
           has_other_class OR (reads_columns AND has_other_properties) AS has_other_values
    FROM redrawn JOIN (SELECT feature_key, raster_key FROM state.edge) USING (feature_key) JOIN label USING (raster_key)
    WHERE made_at < changed_at
      AND (has_other_geometry OR (reads_columns AND has_other_properties) OR (has_other_class AND NOT EXISTS (
          FROM renamed_class WHERE old_name = old_class AND new_name = new_class AND list_contains(kept_labels, label))))
)
SELECT feature_id, position, bool_or(has_other_values) AS has_other_values, count(*) AS labels, min(label) AS label,
       list(raster_id ORDER BY raster_id)[:3] AS raster_ids, list_transform(raster_ids, lambda id: min(label) || '/' || id) AS label_ids
FROM stale GROUP BY feature_id, position ORDER BY feature_id;
