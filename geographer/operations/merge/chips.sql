-- chips.sql: what recipes made: of versions that both parents changed, the later one stays, and a changed one where the other side
--   removed it; objects of recipes with a rule are as on that side; what users removed is gone
-- needs: version_raster_change, decision_raster_change, recipe_rule, merged_removal · makes: changed rows of decision_raster_change
UPDATE decision_raster_change SET chosen = CASE
    WHEN first_digest IS NULL THEN 'second' WHEN second_digest IS NULL THEN 'first'
    WHEN first_made > second_made THEN 'first' ELSE 'second' END
WHERE chosen IS NULL;
UPDATE decision_raster_change SET chosen = rule
FROM (SELECT DISTINCT raster_id, rule FROM version_raster_change JOIN recipe_rule USING (recipe) WHERE parent_id IS NOT NULL) AS ruled
WHERE is_chip AND ruled.raster_id = decision_raster_change.raster_id;
UPDATE decision_raster_change SET chosen = 'none' WHERE is_chip AND raster_id IN (SELECT raster_id FROM merged_removal);
