-- merged_paths.sql: pairs of paths, of files or of folders, that collide in the revision $to, at least one of which the revision $from lacks:
--   two objects have one path, or the paths differ only by case or Unicode normalisation
-- needs: files_at, $to, $from · makes: temp table merged_collision (path, other_path)
CREATE OR REPLACE TEMP TABLE merged_collision AS
WITH merged_file AS (
    SELECT path FROM files_at($to)
), folder AS (
    SELECT DISTINCT parse_dirpath(path, 'forward_slash') AS path FROM merged_file
), old_folder AS (
    SELECT DISTINCT parse_dirpath(path, 'forward_slash') AS path FROM files_at($from)
), merged_path AS (
    FROM merged_file UNION FROM folder UNION SELECT parse_dirpath(path, 'forward_slash') FROM folder
), new_path AS (
    FROM merged_path EXCEPT SELECT path FROM files_at($from)
    EXCEPT FROM old_folder EXCEPT SELECT parse_dirpath(path, 'forward_slash') FROM old_folder
)
SELECT path, path AS other_path FROM merged_file GROUP BY path HAVING count(*) > 1
UNION ALL
SELECT new_path.path, merged_path.path
FROM new_path JOIN merged_path ON lower(nfc_normalize(new_path.path)) = lower(nfc_normalize(merged_path.path))
WHERE new_path.path <> merged_path.path
ORDER BY ALL;
