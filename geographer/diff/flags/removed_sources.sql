-- removed_sources.sql: removed rasters from which chips of the new side are cut
-- needs: changed_raster, state.raster, $new · makes: one result: raster_id, position, chips (count), chip_ids (at most 3)
SELECT changed.raster_id, changed.position, count(*) AS chips, list(chip.raster_id ORDER BY chip.raster_id)[:3] AS chip_ids
FROM changed_raster AS changed JOIN state.raster AS chip ON chip.parent_id = changed.raster_id
WHERE change = 'removed' AND chip.valid_from <= $new AND chip.valid_to > $new
GROUP BY changed.raster_id, changed.position ORDER BY changed.raster_id;
