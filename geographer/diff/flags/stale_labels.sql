-- stale_labels.sql: changed features that lie on labels which were last made before that change
-- needs: changed_feature, changed_geometry, chain_event, state.edge, state.raster, state.label, $new ·
-- makes: one result: feature_id, position, has_other_class, labels (count), label, raster_ids (at most 3)
WITH last_run AS (
    -- A run makes every label that is outdated then, but records only those whose bytes changed.
    SELECT payload->>'$.recipe.name' AS label, max(position) AS run_position FROM chain_event
    WHERE position <= $new AND kind = 'labels_made' GROUP BY ALL
), label AS (
    SELECT label, raster_key, raster_id, greatest(label.valid_from, run_position) AS made_at
    FROM (FROM state.label WHERE valid_from <= $new AND valid_to > $new) AS label
    JOIN (SELECT raster_key, raster_id FROM state.raster WHERE valid_from <= $new AND valid_to > $new) USING (raster_id)
    LEFT JOIN last_run USING (label)
), redrawn AS (
    SELECT feature_id, position, coalesce(new.valid_from, CASE WHEN old.valid_to <= $new THEN old.valid_to END) AS changed_at,
           unnest([old.feature_key, new.feature_key]) AS feature_key,
           old.class IS DISTINCT FROM new.class AS has_other_class
    FROM changed_feature LEFT JOIN changed_geometry USING (feature_id)
    WHERE change <> 'changed' OR is_changed OR old.class <> new.class
), stale AS (
    SELECT DISTINCT feature_id, position, has_other_class, label, raster_id
    FROM redrawn JOIN (SELECT feature_key, raster_key FROM state.edge) USING (feature_key) JOIN label USING (raster_key)
    WHERE made_at < changed_at
)
SELECT feature_id, position, has_other_class, count(*) AS labels, min(label) AS label, list(raster_id ORDER BY raster_id)[:3] AS raster_ids
FROM stale GROUP BY feature_id, position, has_other_class ORDER BY feature_id;
