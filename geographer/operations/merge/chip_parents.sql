-- chip_parents.sql: the rasters after the merge among those that changed; then chips without a parent are gone, and chips that were cut from
--   other bytes than the merged parent has are as on the first side, where update sees that
-- needs: version_raster_change, decision_raster_change, merged_raster_change · makes: temp tables merged_raster, absent_raster, orphan;
-- changed rows of decision_raster_change
CREATE OR REPLACE TEMP TABLE merged_raster AS
SELECT raster_id, sha256, crs FROM version_raster_change JOIN decision_raster_change USING (raster_id) WHERE side = chosen
UNION ALL SELECT raster_id, sha256, crs FROM merged_raster_change;
CREATE OR REPLACE TEMP TABLE absent_raster AS
SELECT raster_id FROM decision_raster_change ANTI JOIN merged_raster USING (raster_id);
CREATE OR REPLACE TEMP TABLE orphan AS
SELECT raster_id, 'none' AS choice
FROM version_raster_change JOIN decision_raster_change USING (raster_id)
WHERE side = chosen AND parent_id IN (SELECT raster_id FROM absent_raster)
UNION ALL
SELECT chip.raster_id, 'first' AS choice
FROM version_raster_change AS chip JOIN decision_raster_change USING (raster_id)
JOIN version_raster_change AS parent ON parent.raster_id = chip.parent_id AND parent.side = 'second'
JOIN merged_raster ON merged_raster.raster_id = chip.parent_id
WHERE chip.side = 'second' AND chosen = 'second'
  AND (merged_raster.sha256 IS DISTINCT FROM parent.sha256 OR merged_raster.crs <> parent.crs)
  AND first_digest IS DISTINCT FROM second_digest;
UPDATE decision_raster_change SET chosen = choice FROM orphan WHERE orphan.raster_id = decision_raster_change.raster_id;
