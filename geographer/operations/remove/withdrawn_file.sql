-- withdrawn_file.sql: the files that events withdrew, with the position from which they are withdrawn
-- needs: chain_withdrawn_file, macros.sql, $after, $up_to · makes: new rows in state.withdrawn_file
CREATE TABLE IF NOT EXISTS state.withdrawn_file (
    md5 VARCHAR, raster_id VARCHAR, path VARCHAR, sha256 VARCHAR, size BIGINT, valid_from BIGINT, valid_to BIGINT
);
INSERT INTO state.withdrawn_file
SELECT md5, raster_id, path, sha256, size, position, open_end()
FROM chain_withdrawn_file WHERE position > $after AND position <= $up_to ORDER BY position, ordinal;
