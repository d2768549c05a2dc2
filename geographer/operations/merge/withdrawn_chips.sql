-- withdrawn_chips.sql: chips that one side cut, after the common events, from rasters whose bytes were withdrawn on a side: their bytes are
--   to be deleted, too. Rasters that got other bytes on a side do not count
-- needs: side_event, log.withdrawn_file, log.raster_change · makes: one result: md5, raster_id, path, sha256, size
WITH RECURSIVE withdrawn AS (
    SELECT DISTINCT md5, raster_id FROM log.withdrawn_file JOIN side_event USING (event_key)
), side_raster AS (
    SELECT * FROM log.raster_change JOIN side_event USING (event_key) WHERE change <> 'removed'
), gone AS (
    SELECT raster_id FROM withdrawn
    WHERE NOT EXISTS (
        FROM side_raster WHERE side_raster.raster_id = withdrawn.raster_id AND md5 NOT IN (SELECT md5 FROM withdrawn)
    )
    UNION
    SELECT side_raster.raster_id FROM side_raster JOIN gone ON parent_id = gone.raster_id
)
SELECT DISTINCT md5, raster_id, path, sha256, size
FROM side_raster SEMI JOIN gone USING (raster_id)
WHERE parent_id IS NOT NULL AND storage = 'dvc' AND md5 NOT IN (SELECT md5 FROM withdrawn)
ORDER BY ALL;
