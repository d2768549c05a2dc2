-- files.sql: the files that DVC stores for the revision at `as_of`, or for any revision: path, checksums, raster and label
-- needs: state.raster, state.label · makes: table macros files_at(as_of), files_ever()
CREATE OR REPLACE TEMP MACRO files_at(as_of) AS TABLE
SELECT path, size, md5, sha256, raster_id, NULL AS label
FROM state.raster WHERE storage = 'dvc' AND valid_from <= as_of AND valid_to > as_of
UNION ALL SELECT path, size, md5, sha256, raster_id, label
FROM state.label WHERE valid_from <= as_of AND valid_to > as_of;

CREATE OR REPLACE TEMP MACRO files_ever() AS TABLE
SELECT path FROM state.raster WHERE storage = 'dvc' UNION SELECT path FROM state.label;
