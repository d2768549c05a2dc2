-- checkout_paths.sql: the files at paths that only the revision $to has, and the folders in which it differs from the revision $from
-- needs: files_at, $to, $from · makes: temp tables file_to_add, folder_to_change, equal_name (path, other_path): files of $to
-- whose paths differ only by case or Unicode normalisation
CREATE OR REPLACE TEMP TABLE file_to_add AS
SELECT path, size, md5, sha256 FROM files_at($to) ANTI JOIN files_at($from) USING (path);

CREATE OR REPLACE TEMP TABLE folder_to_change AS
WITH old_file AS (
    SELECT path, md5 FROM files_at($from)
), revision_file AS (
    SELECT path, md5 FROM files_at($to)
)
SELECT DISTINCT parse_dirpath(path, 'forward_slash') AS path
FROM ((FROM old_file EXCEPT FROM revision_file) UNION ALL (FROM revision_file EXCEPT FROM old_file));

CREATE OR REPLACE TEMP TABLE equal_name AS
SELECT min(path) AS path, max(path) AS other_path FROM files_at($to)
GROUP BY lower(nfc_normalize(path)) HAVING count(DISTINCT path) > 1 ORDER BY ALL;
