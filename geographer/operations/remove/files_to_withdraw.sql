-- files_to_withdraw.sql: the rasters $ids with all chips that were ever cut from them, each version of their stored bytes, and the
--   other objects that had equal bytes
-- needs: chain_raster_change, chain_label_change, variable position, $ids · makes: temp tables raster_to_withdraw (raster_id),
-- file_to_withdraw (md5, raster_id, path, sha256, size), other_owner (subject, name, raster_id)
CREATE OR REPLACE TEMP TABLE raster_to_withdraw AS
WITH RECURSIVE descendant AS (
    SELECT unnest($ids::VARCHAR[]) AS raster_id
    UNION
    SELECT chip.raster_id FROM chain_raster_change AS chip JOIN descendant ON chip.parent_id = descendant.raster_id
    WHERE chip.position <= getvariable('position')
)
FROM descendant;

CREATE OR REPLACE TEMP TABLE file_to_withdraw AS
SELECT DISTINCT ON (md5) md5, raster_id, path, sha256, size
FROM chain_raster_change SEMI JOIN raster_to_withdraw USING (raster_id)
WHERE storage = 'dvc' AND change <> 'removed' AND md5 IS NOT NULL AND position <= getvariable('position')
ORDER BY md5, raster_id, position;

CREATE OR REPLACE TEMP TABLE other_owner AS
SELECT 'raster' AS subject, owner.raster_id AS name, file.raster_id
FROM chain_raster_change AS owner JOIN file_to_withdraw AS file ON owner.md5 = file.md5
WHERE owner.storage = 'dvc' AND owner.position <= getvariable('position')
  AND owner.raster_id NOT IN (SELECT raster_id FROM raster_to_withdraw)
UNION
SELECT 'label', owner.label || '/' || owner.raster_id, file.raster_id
FROM chain_label_change AS owner JOIN file_to_withdraw AS file ON owner.md5 = file.md5
WHERE owner.position <= getvariable('position');
