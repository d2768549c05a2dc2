-- selected_rasters.sql: the rasters of a revision that one selection of a partial clone chooses, added to those of others
-- needs: views of the revision, matching_feature (feature_key: those for which its filter is true), selected_raster (raster_id),
-- $by_where (whether it has a filter), $west, $south, $east, $north, $collections, $subsets (SPLIT/PART), $rasters (each null: any) ·
-- makes: temp tables search_area (area), feature_in_selection, raster_of_collection, raster_of_subset; rows of selected_raster
CREATE OR REPLACE TEMP TABLE search_area AS
SELECT CASE WHEN $west <= $east THEN ST_MakeEnvelope($west, $south, $east, $north)
            ELSE ST_Collect([ST_MakeEnvelope($west, $south, 180, $north), ST_MakeEnvelope(-180, $south, $east, $north)]) END AS area;

CREATE OR REPLACE TEMP TABLE feature_in_selection AS
SELECT feature_key FROM current_feature
WHERE (NOT $by_where OR feature_key IN (FROM matching_feature))
  AND ($west IS NULL OR (ymin <= $north AND ymax >= $south AND ST_Intersects(geometry, (SELECT area FROM search_area))));

-- A collection and a subset stand for their rasters, and for what was cut from them.
CREATE OR REPLACE TEMP TABLE raster_of_collection AS
WITH RECURSIVE family AS (
    SELECT raster_id FROM current_raster WHERE collection IN (SELECT unnest($collections::VARCHAR[]))
    UNION
    SELECT chip.raster_id FROM current_raster AS chip JOIN family ON chip.parent_id = family.raster_id
)
FROM family;

CREATE OR REPLACE TEMP TABLE raster_of_subset AS
WITH RECURSIVE family AS (
    SELECT raster_id FROM current_split WHERE split || '/' || part IN (SELECT unnest($subsets::VARCHAR[]))
    UNION
    SELECT chip.raster_id FROM current_raster AS chip JOIN family ON chip.parent_id = family.raster_id
)
FROM family;

INSERT INTO selected_raster
SELECT raster_id FROM current_raster
WHERE ($collections IS NULL OR raster_id IN (FROM raster_of_collection))
  AND ($subsets IS NULL OR raster_id IN (FROM raster_of_subset))
  AND ($rasters IS NULL OR raster_id IN (SELECT unnest($rasters::VARCHAR[])))
  -- An edge leads to a raster also where only the rest of the feature lies in the box.
  AND ((NOT $by_where AND $west IS NULL)
       OR raster_key IN (SELECT raster_key FROM current_edge SEMI JOIN feature_in_selection USING (feature_key))
       OR (NOT $by_where AND bbox_ymin <= $north AND bbox_ymax >= $south
           AND ST_Intersects(footprint, (SELECT area FROM search_area))));
