-- path_fault.sql: why a path that the log records cannot be a stored file; `find_path_fault` (storage/workspace/paths.py) agrees
-- needs: nothing · makes: macro path_fault(path)
CREATE OR REPLACE TEMP MACRO path_fault(path) AS CASE
    WHEN path IS NULL OR path = '' THEN 'the path is missing'
    WHEN starts_with(path, '/') THEN 'the path is absolute'
    WHEN regexp_matches(path, '[\\\x00]|[\x00-\x1f\x7f][^/]*/') THEN 'the path has a backslash, a NUL or a control character'
    WHEN regexp_matches(path, '(^|/)\.{0,2}(/|$)') THEN 'a part of the path is empty, ''.'' or ''..'''
    WHEN NOT regexp_full_match(path, '(rasters|labels/[^/]+)/[^/]+/[^/]+')
    THEN 'the path is not rasters/COLLECTION/FILE or labels/NAME/COLLECTION/FILE'
    WHEN regexp_matches(path, '/\.[^/]*/|\.dvc(/|$)|/\.(gitignore|dvcignore|geographer-[^/]*)$')
    THEN 'a part of the path is a name that Git, DVC or geographer uses'
    -- The `.dvc` file of a folder has a name of four bytes more.
    WHEN strlen(path) > 251
     AND (list_max([strlen(part) for part in string_split(path, '/')]) > 255
          OR list_max([strlen(part) for part in string_split(path, '/')[:-2]]) > 251)
    THEN 'a part of the path has more than 255 bytes' END;
