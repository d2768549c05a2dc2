-- files.sql: every file that DVC keeps for the revision at `as_of`: where it lies, what it must be, and what it belongs to
CREATE OR REPLACE TEMP MACRO file_at(as_of) AS TABLE
SELECT path, size, md5, sha256, raster_id, NULL AS label
FROM state.raster WHERE storage = 'dvc' AND valid_from <= as_of AND valid_to > as_of
UNION ALL
SELECT path, size, md5, sha256, raster_id, label
FROM state.label WHERE valid_from <= as_of AND valid_to > as_of;

CREATE OR REPLACE TEMP MACRO file_ever() AS TABLE
SELECT path FROM state.raster WHERE storage = 'dvc' UNION SELECT path FROM state.label;
