-- recorded_ids.sql: where the ids came from when features of a file of this name, and of this layer, were last added
-- needs: chain_event, $name, $layer, variable position · makes: one result: ids (JSON of FeatureIds)
SELECT coalesce(payload->'$.ids', json_object('source', 'column', 'column', payload->>'$.request.id_column'))::VARCHAR AS ids
FROM chain_event
WHERE kind IN ('features_added', 'features_synced') AND position <= getvariable('position')
  AND parse_filename(payload->>'$.source') = $name
  AND coalesce((payload->>'$.request.layer') = $layer, true)
-- Where only one of both named the layer, it may be the same one.
ORDER BY (payload->>'$.request.layer') IS NOT DISTINCT FROM $layer DESC, position DESC
LIMIT 1;
