-- selection.sql: the features and rasters, of either side, that a selection of a difference chooses
-- needs: tables of the state, matching_id (ids for which the filter is true, of $where_table), $old, $new, $class, $collection, $split, $subset,
-- $west, $south, $east, $north, $by_feature, $by_raster (whether there are conditions on these), $where_table ·
-- makes: temp tables candidate_feature, candidate_raster, and chosen_feature, chosen_raster, each of ids
CREATE OR REPLACE TEMP TABLE candidate_feature AS
SELECT feature_id, feature_key FROM state.feature
WHERE ((valid_from <= $old AND valid_to > $old) OR (valid_from <= $new AND valid_to > $new))
  AND ($class IS NULL OR class = $class)
  AND ($where_table IS DISTINCT FROM 'features' OR feature_id IN (FROM matching_id))
  AND ($west IS NULL OR (ymin <= $north AND ymax >= $south
       AND CASE WHEN $west <= $east THEN xmin <= $east AND xmax >= $west ELSE xmin <= $east OR xmax >= $west END
       -- A box as wide as this belongs to a feature that is split at the antimeridian.
       AND (xmax - xmin < 180 OR ST_Intersects(geometry, ST_MakeEnvelope($west, $south, if($west <= $east, $east, 180), $north))
            OR ($west > $east AND ST_Intersects(geometry, ST_MakeEnvelope(-180, $south, $east, $north))))));

CREATE OR REPLACE TEMP TABLE candidate_raster AS
SELECT raster_id, raster_key FROM state.raster
WHERE ((valid_from <= $old AND valid_to > $old) OR (valid_from <= $new AND valid_to > $new))
  AND ($collection IS NULL OR collection = $collection)
  AND ($where_table IS DISTINCT FROM 'rasters' OR raster_id IN (FROM matching_id))
  AND ($subset IS NULL OR raster_id IN (
       SELECT raster_id FROM state.split
       WHERE part = $subset AND split = $split AND ((valid_from <= $old AND valid_to > $old) OR (valid_from <= $new AND valid_to > $new))))
  -- A raster that reaches beyond 180 degrees has a second box, shifted by a turn.
  AND ($west IS NULL OR (bbox_ymin <= $north AND bbox_ymax >= $south AND len(list_filter([0, coalesce(lon_shift, 0)],
       lambda shift: CASE WHEN $west <= $east THEN bbox_xmin + shift <= $east AND bbox_xmax + shift >= $west
                          ELSE bbox_xmin + shift <= $east OR bbox_xmax + shift >= $west END)) > 0));

-- What lies on chosen rasters, and what shows chosen features, is chosen too.
CREATE OR REPLACE TEMP TABLE chosen_feature AS
SELECT DISTINCT feature_id FROM candidate_feature
WHERE NOT $by_raster OR feature_key IN (SELECT feature_key FROM state.edge SEMI JOIN candidate_raster USING (raster_key));

CREATE OR REPLACE TEMP TABLE chosen_raster AS
SELECT DISTINCT raster_id FROM candidate_raster
WHERE NOT $by_feature OR raster_key IN (SELECT raster_key FROM state.edge SEMI JOIN candidate_feature USING (feature_key));
