-- labels.sql: labels as chips are decided on, see chips.sql, each with its objects; those of absent rasters are gone, and those that were
--   made for another version of the raster are as on the first side, where update sees that
-- needs: decision_label_group, version_raster_change, merged_raster, absent_raster, recipe_rule, decision_label_change,
-- decision_label_object_change · makes: changed rows of these decisions
UPDATE decision_label_group SET chosen = CASE
    WHEN first_digest IS NULL THEN 'second' WHEN second_digest IS NULL THEN 'first'
    WHEN first_made > second_made THEN 'first' ELSE 'second' END
WHERE chosen IS NULL;
UPDATE decision_label_group SET chosen = 'first'
FROM (SELECT raster_id FROM version_raster_change JOIN decision_raster_change USING (raster_id)
      WHERE side = 'second' AND NOT (chosen = 'second' OR first_digest IS NOT DISTINCT FROM second_digest)) AS other
WHERE chosen = 'second' AND second_digest IS NOT NULL AND other.raster_id = decision_label_group.raster_id;
UPDATE decision_label_group SET chosen = rule FROM recipe_rule WHERE recipe = label;
UPDATE decision_label_group SET chosen = 'none' WHERE raster_id IN (FROM absent_raster);
UPDATE decision_label_change SET chosen = choice.chosen FROM decision_label_group AS choice
WHERE choice.label = decision_label_change.label AND choice.raster_id = decision_label_change.raster_id;
UPDATE decision_label_object_change SET chosen = choice.chosen FROM decision_label_group AS choice
WHERE choice.label = decision_label_object_change.label AND choice.raster_id = decision_label_object_change.raster_id;
