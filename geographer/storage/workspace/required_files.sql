-- required_files.sql: the versions of the files that DVC stores for a revision at one of the positions $positions
-- needs: view stored_file, $positions · makes: temp table required_version
CREATE OR REPLACE TEMP TABLE required_version AS
WITH required_position AS (
    SELECT unnest($positions::BIGINT[]) AS position
)
SELECT parse_dirpath(path, 'forward_slash') AS folder, parse_filename(path, false, 'forward_slash') AS name, md5, size,
       valid_from, valid_to
FROM stored_file ASOF JOIN required_position ON valid_from <= position
WHERE position < valid_to;
