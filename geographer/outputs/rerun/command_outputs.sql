-- command_outputs.sql: the outputs of commands that became neither rasters nor labels: of each path, the last one up to the revision
-- needs: chain_event, chain_command_file, variable position · makes: a row an output, by path
SELECT path, name, size, md5, sha256, position, digest
FROM chain_command_file JOIN (SELECT position, digest, payload->>'$.name' AS name FROM chain_event) USING (position)
WHERE role = 'output' AND raster_id IS NULL AND position <= getvariable('position')
QUALIFY position = max(position) OVER (PARTITION BY path)
ORDER BY path
