-- files.sql: the files that DVC stores for the revision at `as_of`, or for any revision: path, checksums, raster and label;
-- their folders; and the versions of the files in a folder, each with the first position that has it, and that lacks it again
-- needs: state.raster, state.label · makes: view stored_file, table macros files_at(as_of), files_ever(), folders_ever(),
-- folder_versions(folder)
CREATE OR REPLACE TEMP VIEW stored_file AS
SELECT path, size, md5, sha256, raster_id, NULL AS label, valid_from, valid_to FROM state.raster WHERE storage = 'dvc'
UNION ALL SELECT path, size, md5, sha256, raster_id, label, valid_from, valid_to FROM state.label;

CREATE OR REPLACE TEMP MACRO files_at(as_of) AS TABLE
SELECT * EXCLUDE (valid_from, valid_to) FROM stored_file WHERE valid_from <= as_of AND valid_to > as_of;

CREATE OR REPLACE TEMP MACRO files_ever() AS TABLE
SELECT DISTINCT path FROM stored_file;

CREATE OR REPLACE TEMP MACRO folders_ever() AS TABLE
SELECT DISTINCT parse_dirpath(path, 'forward_slash') AS folder FROM stored_file;

CREATE OR REPLACE TEMP MACRO folder_versions(folder) AS TABLE
SELECT parse_filename(path, false, 'forward_slash') AS name, md5, size, valid_from, valid_to
FROM stored_file WHERE parse_dirpath(path, 'forward_slash') = folder;
