-- clashing_collections.sql: the names among $names that are collections of added rasters after the merge
-- needs: state.raster, decision_raster_change, version_raster_change, log.raster_change, merged_raster_change, $names, $common · makes: one
-- result: collection
SELECT DISTINCT collection FROM state.raster ANTI JOIN decision_raster_change USING (raster_id)
WHERE valid_from <= $common AND valid_to > $common AND parent_id IS NULL AND collection IN (SELECT unnest($names::VARCHAR[]))
UNION
SELECT collection FROM log.raster_change JOIN (
    SELECT raster_id, event_key FROM version_raster_change JOIN decision_raster_change USING (raster_id) WHERE side = chosen AND parent_id IS NULL
) USING (event_key, raster_id) WHERE collection IN (SELECT unnest($names::VARCHAR[]))
UNION
SELECT collection FROM merged_raster_change WHERE parent_id IS NULL AND collection IN (SELECT unnest($names::VARCHAR[]))
ORDER BY collection;
