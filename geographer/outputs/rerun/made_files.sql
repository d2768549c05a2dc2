-- made_files.sql: the derived files of the revision, each with the event that made its bytes, of any chain, or without one
-- needs: current_raster, current_label, recipes, chain_event, log.event, log.raster_change, log.label_change, variable position, $kinds,
-- $label_files
-- · makes: a row a file, by label and raster
WITH maker AS (
    SELECT event_key, digest FROM log.event WHERE list_contains($kinds::VARCHAR[], kind)
), made AS (
    SELECT '' AS label, raster_id, sha256, event_key, recipe AS made_as FROM log.raster_change WHERE change <> 'removed' AND storage = 'dvc'
    UNION ALL
    SELECT '?', raster_id, sha256, event_key, label FROM log.label_change WHERE change <> 'removed'
), file AS (
    SELECT '' AS label, raster_id, recipe AS name, path, size, md5, sha256, pixel_digest, valid_from, parent_id IS NOT NULL AS is_derived
    FROM current_raster WHERE storage = 'dvc'
    UNION ALL
    -- Labels that users added as files are not derived; those that were cut from them are.
    SELECT label, raster_id, label, path, size, md5, sha256, pixel_digest, valid_from, added_to IS DISTINCT FROM collection
    FROM current_label LEFT JOIN (SELECT raster_id, collection FROM current_raster) AS raster USING (raster_id)
    LEFT JOIN (SELECT name AS label, parameters->>'$.collection' AS added_to FROM recipes WHERE kind = $label_files) AS added USING (label)
), own_event AS (
    SELECT position, digest FROM chain_event WHERE position <= getvariable('position')
)
SELECT nullif(file.label, '') AS label, file.raster_id, file.name, path, size, md5, file.sha256, pixel_digest, valid_from,
       own_event.position, maker.digest, made_as
FROM file
LEFT JOIN (made JOIN maker USING (event_key))
    ON made.raster_id = file.raster_id AND made.sha256 = file.sha256 AND (made.label = '') = (file.label = '')
LEFT JOIN own_event ON own_event.digest = maker.digest
WHERE is_derived OR maker.digest IS NOT NULL
QUALIFY row_number() OVER (
    PARTITION BY file.label, file.raster_id
    ORDER BY own_event.position IS NULL, made_as IS DISTINCT FROM file.name, own_event.position DESC, maker.digest
) = 1
ORDER BY file.label, file.raster_id
