-- samples.sql: the rasters with pixels to train on: those of $split that have a part (null: no split), of the parts $parts (null: all),
-- and of $collection (null: any)
-- needs: rasters, current_raster, current_feature, current_edge, current_split, $split, $parts, $collection · makes: temp table sample, temp view sample_footprint
CREATE OR REPLACE TEMP TABLE sample AS
WITH assignment AS (
    SELECT raster_id, part FROM current_split
    WHERE split = $split AND part IS NOT NULL AND ($parts::VARCHAR[] IS NULL OR part IN (SELECT unnest($parts::VARCHAR[])))
), chosen AS (
    SELECT raster_key, raster_id, collection, part, storage, parent_id, raster.feature_id, md5, sha256, size, crs, transform, width, height,
           bands, dtype, nodata, acquired
    FROM current_raster AS raster LEFT JOIN assignment USING (raster_id)
    WHERE storage <> 'catalogue' AND ($split IS NULL OR part IS NOT NULL) AND ($collection IS NULL OR collection = $collection)
), shown_class AS (
    SELECT raster_key, list(DISTINCT class ORDER BY class) AS classes
    FROM current_edge SEMI JOIN chosen USING (raster_key) JOIN (SELECT feature_key, class FROM current_feature) USING (feature_key)
    GROUP BY raster_key
)
SELECT chosen.*, class, coalesce(classes, []::VARCHAR[]) AS classes, file.path AS path
FROM chosen
LEFT JOIN (SELECT feature_id, class FROM current_feature) USING (feature_id)
LEFT JOIN shown_class USING (raster_key)
LEFT JOIN (SELECT raster_id, path FROM rasters) AS file USING (raster_id)
ORDER BY raster_id;

-- Footprints are larger than all the rest: they are read where they are needed.
CREATE OR REPLACE TEMP VIEW sample_footprint AS SELECT raster_key, ST_AsWKB(footprint)::BLOB AS footprint FROM current_raster;
