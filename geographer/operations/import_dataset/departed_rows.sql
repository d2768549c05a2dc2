-- departed_rows.sql: the {subject}s of this dataset that the source dataset removed since the common history; of rasters that a recipe
--   makes, those that a user removed there. `is_unchanged`: this dataset did not change them since
-- needs: base_{subject}, current_{subject}, renamed_{subject}, renamed_removal, $keep_theirs · makes: temp table departed_{subject}
CREATE OR REPLACE TEMP TABLE departed_{subject} AS
SELECT {subject}_id, is_unchanged, is_unchanged OR $keep_theirs AS is_removed
FROM (SELECT *, row_digest = digest OR {is_derived} AS is_unchanged FROM base_{subject} JOIN current_{subject} USING ({subject}_id))
ANTI JOIN renamed_{subject} USING (source_id)
WHERE {is_declared} OR {subject}_id IN (SELECT raster_id FROM renamed_removal)
ORDER BY {subject}_id;
