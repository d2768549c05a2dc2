-- altered_chips.sql: chips with other pixels in the same window, although the raster that they are cut from is as it was
-- needs: changed_raster · makes: one result: raster_id, position
SELECT raster_id, position
FROM changed_raster
WHERE change = 'changed' AND old.parent_id = new.parent_id AND old.pixel_digest <> new.pixel_digest
  AND (old.col, old."row", old.width, old.height, old.bands) = (new.col, new."row", new.width, new.height, new.bands)
  AND new.parent_id NOT IN (SELECT raster_id FROM changed_raster)
ORDER BY raster_id;
