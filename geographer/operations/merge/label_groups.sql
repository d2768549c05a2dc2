-- label_groups.sql: the labels of which one of the rows changed, those of absent rasters and those of recipes none of whose objects fit
-- needs: side_row_label_change, side_row_label_object_change, state.label, state.label_object, absent_raster, recipe_rule, $common · makes:
-- temp tables label_group, candidate_label_change, candidate_label_object_change
CREATE OR REPLACE TEMP TABLE label_group AS
SELECT label, raster_id FROM side_row_label_change UNION SELECT label, raster_id FROM side_row_label_object_change
UNION SELECT label, raster_id FROM state.label
WHERE valid_from <= $common AND valid_to > $common
  AND (raster_id IN (FROM absent_raster) OR label IN (SELECT recipe FROM recipe_rule WHERE rule = 'none'));
CREATE OR REPLACE TEMP TABLE candidate_label_change AS FROM label_group;
CREATE OR REPLACE TEMP TABLE candidate_label_object_change AS
SELECT label, raster_id, feature_id FROM side_row_label_object_change
UNION SELECT label, raster_id, feature_id FROM state.label_object SEMI JOIN label_group USING (label, raster_id)
WHERE valid_from <= $common AND valid_to > $common;
