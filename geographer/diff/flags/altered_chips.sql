-- altered_chips.sql: chips with other pixels in the same window, although the raster that they are cut from is as it was then
-- needs: changed_raster, state.raster · makes: one result: raster_id, position
SELECT changed.raster_id, changed.position
FROM changed_raster AS changed
-- The version of the raster that both versions of the chip were cut from.
JOIN state.raster AS parent ON parent.raster_id = new.parent_id
 AND parent.valid_from < least(old.valid_from, new.valid_from) AND parent.valid_to > greatest(old.valid_from, new.valid_from)
WHERE change = 'changed' AND old.parent_id = new.parent_id AND old.pixel_digest <> new.pixel_digest
  AND (old.col, old."row", old.width, old.height, old.bands) = (new.col, new."row", new.width, new.height, new.bands)
ORDER BY changed.raster_id;
