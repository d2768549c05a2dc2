-- splits.sql: assignments to parts as chips are decided on, see chips.sql; those of absent rasters are gone
-- needs: decision_split_change, absent_raster, recipe_rule · makes: changed rows of decision_split_change
UPDATE decision_split_change SET chosen = CASE
    WHEN first_digest IS NULL THEN 'second' WHEN second_digest IS NULL THEN 'first'
    WHEN first_made > second_made THEN 'first' ELSE 'second' END
WHERE chosen IS NULL;
UPDATE decision_split_change SET chosen = rule FROM recipe_rule WHERE recipe = split;
UPDATE decision_split_change SET chosen = 'none' WHERE raster_id IN (FROM absent_raster);
