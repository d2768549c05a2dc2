-- raster_note.sql: the notes on rasters, with the positions from which they hold
-- needs: chain_raster_note, $after, $up_to · makes: rows of state.raster_note
CREATE TABLE IF NOT EXISTS state.raster_note (raster_id VARCHAR, note VARCHAR, position BIGINT);
INSERT INTO state.raster_note
SELECT raster_id, note, position FROM chain_raster_note
WHERE position > $after AND position <= $up_to ORDER BY position, ordinal;
