-- path_fault.sql: why a path that the log records cannot be a stored file, a referenced one, the window of a virtual chip or a remote
--   file; `find_path_fault` (storage/workspace/paths.py), `find_reference_fault` (storage/workspace/roots.py), `find_window_fault`
--   (storage/workspace/chip_windows.py) and `find_remote_fault` (storage/workspace/remote_files.py) agree
-- needs: nothing · makes: macros path_fault(path), reference_fault(path), window_fault(path, sha256), remote_fault(path)
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

-- A path such as {root}/folder/file lies in a root; others, which version 0.1.0 recorded, may lead anywhere.
CREATE OR REPLACE TEMP MACRO reference_fault(path) AS CASE
    WHEN path IS NULL OR path = '' OR contains(path, chr(0)) THEN 'the path is missing or has a NUL'
    WHEN regexp_matches(path, '^\{[^{}/]+\}/') AND regexp_matches(path, '/\.{0,2}(/|$)')
    THEN 'a part of the path after its root is empty, ''.'' or ''..''' END;

-- The path of a virtual chip is canonical JSON: its keys are in order, without spaces.
CREATE OR REPLACE TEMP MACRO window_fault(path, digest) AS CASE
    WHEN NOT coalesce(regexp_full_match(path, '\{"bands":(null|\[[1-9][0-9]*(,[1-9][0-9]*)*\]),"pad_value":(null|"[-+.a-z0-9]+"),'
        || '"source":"[0-9a-f]{64}","window":\[(0|-?[1-9][0-9]*),(0|-?[1-9][0-9]*),[1-9][0-9]*,[1-9][0-9]*\]\}')
        AND (path->>'$.pad_value' IS NULL OR TRY_CAST(path->>'$.pad_value' AS DOUBLE) IS NOT NULL), false)
    THEN 'its path does not describe a window'
    WHEN sha256(path) IS DISTINCT FROM digest THEN 'its SHA-256 is not that of its window' END;

-- The path of a remote raster is canonical JSON: its URL, and what pins its version.
CREATE OR REPLACE TEMP MACRO remote_fault(path) AS CASE
    WHEN NOT coalesce(regexp_full_match(path, '\{"etag":(null|"([^"\\]|\\.)+"),"modified":(null|"[^"\\]+"),"url":"[^"\\]+",'
        || '"version":(null|"[^"\\]+")\}'), false)
    THEN 'its path does not describe a version of a remote file'
    WHEN NOT regexp_matches(path, '"url":"((https?|s3)://[^/?#]+/[^?#]+|\{[^{}/]+\}/[^?#]+)"')
    THEN 'its URL is not https://, http:// or s3:// with a path' END;
