-- new_paths.sql: the files that an event adds, the folders that it changes, and pairs of paths that collide
-- needs: files_at, planned_file (the stored files of the event: raster_id, label, path or null if removed, size, md5, sha256), $head ·
-- makes: temp tables replaced_file, head_folder, new_file, new_folder, changed_folder, colliding_path (path, other_path)
CREATE OR REPLACE TEMP TABLE replaced_file AS
SELECT head.path FROM files_at($head) AS head SEMI JOIN planned_file AS planned
ON planned.raster_id = head.raster_id AND planned.label IS NOT DISTINCT FROM head.label;

CREATE OR REPLACE TEMP TABLE head_folder AS
SELECT DISTINCT parse_dirpath(path, 'forward_slash') AS path FROM files_at($head);

CREATE OR REPLACE TEMP TABLE new_file AS
SELECT path, size, md5, sha256 FROM planned_file ANTI JOIN files_at($head) USING (path) WHERE path IS NOT NULL;

CREATE OR REPLACE TEMP TABLE new_folder AS
SELECT DISTINCT parse_dirpath(path, 'forward_slash') AS path FROM new_file;

CREATE OR REPLACE TEMP TABLE changed_folder AS
SELECT DISTINCT parse_dirpath(path, 'forward_slash') AS path
FROM (SELECT path FROM planned_file WHERE path IS NOT NULL UNION ALL FROM replaced_file);

-- Two objects must not have one path. New paths must not differ from others only by case or Unicode normalisation,
-- because macOS takes such names for equal; that holds for paths that the event removes, too, and for folders.
CREATE OR REPLACE TEMP TABLE colliding_path AS
WITH known_folder AS (
    FROM head_folder UNION FROM new_folder
    UNION SELECT parse_dirpath(path, 'forward_slash') FROM (FROM head_folder UNION ALL FROM new_folder)
), known_path AS (
    SELECT path FROM new_file UNION ALL SELECT path FROM files_at($head) UNION ALL FROM known_folder
), new_path AS (
    SELECT path FROM new_file
    UNION FROM new_folder UNION SELECT parse_dirpath(path, 'forward_slash') FROM new_folder
    EXCEPT FROM head_folder EXCEPT SELECT parse_dirpath(path, 'forward_slash') FROM head_folder
)
SELECT path, path AS other_path FROM planned_file WHERE path IS NOT NULL GROUP BY path HAVING count(*) > 1
UNION ALL
SELECT path, path FROM planned_file SEMI JOIN files_at($head) USING (path) ANTI JOIN replaced_file USING (path)
UNION ALL
SELECT new_path.path, known_path.path
FROM new_path JOIN known_path ON lower(nfc_normalize(new_path.path)) = lower(nfc_normalize(known_path.path))
WHERE new_path.path <> known_path.path
ORDER BY ALL;
