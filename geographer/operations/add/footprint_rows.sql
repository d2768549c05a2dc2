-- footprint_rows.sql: log rows of input footprints; those that RFC 7946 splits at the antimeridian, merged (longitude 0 to 360)
-- needs: input_footprint, chain_raster_change · makes: updates input_footprint.outline; temp table no_raster, temp view new_footprint
UPDATE input_footprint
SET outline = list_reduce(
    [CASE WHEN ST_XMax(part.geom) <= 0 THEN ST_Translate(part.geom, 360.0, 0.0) ELSE part.geom END
     for part in ST_Dump(outline)],
    lambda a, b: ST_Union(a, b))
WHERE crs = 'EPSG:4326' AND ST_GeometryType(outline) = 'MULTIPOLYGON'
      AND ST_XMin(outline) <= -180 AND ST_XMax(outline) >= 180;

-- No rows: supplies the columns and types of the log, which is not attached whenever the view is read.
CREATE OR REPLACE TEMP TABLE no_raster AS
SELECT * EXCLUDE (position, ordinal, row_digest) FROM chain_raster_change WHERE false;

CREATE OR REPLACE TEMP VIEW new_footprint AS
FROM no_raster
UNION ALL BY NAME
SELECT 'added' AS change, * REPLACE (ST_AsWKB(outline)::BLOB AS outline), 'catalogue' AS collection, 'catalogue' AS storage
FROM input_footprint;
