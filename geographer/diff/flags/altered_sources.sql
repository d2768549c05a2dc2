-- altered_sources.sql: rasters that were replaced by other bytes, with the chips that are cut from them
-- needs: changed_raster, state.raster, $new ·
-- makes: one result: raster_id, position, has_other_pixels, chips (count), old_chips (count: cut from the former bytes), chip_ids (at most 3)
SELECT changed.raster_id, changed.position,
       old.pixel_digest IS DISTINCT FROM new.pixel_digest AS has_other_pixels, count(chip.raster_id) AS chips,
       count(chip.raster_id) FILTER (chip.valid_from < new.valid_from) AS old_chips,
       coalesce((list(chip.raster_id ORDER BY chip.valid_from >= new.valid_from, chip.raster_id)
                 FILTER (chip.raster_id IS NOT NULL))[:3], []) AS chip_ids
FROM changed_raster AS changed
LEFT JOIN (SELECT raster_id, parent_id, valid_from FROM state.raster
           WHERE valid_from <= $new AND valid_to > $new AND parent_id IS NOT NULL) AS chip ON chip.parent_id = changed.raster_id
WHERE change = 'changed' AND old.parent_id IS NULL AND new.parent_id IS NULL AND old.sha256 <> new.sha256
GROUP BY ALL ORDER BY changed.raster_id;
