-- export_samples.sql: number the samples by id, from 1, give each a name for its files that no other one has, in any case, and its main class:
-- that of the feature it was cut for, or else the only one that it shows
-- needs: sample · makes: temp table export_sample
CREATE OR REPLACE TEMP TABLE export_sample AS
WITH named AS (
    SELECT *, regexp_extract(raster_id, '[^/]*$') AS short_name, count(*) OVER (PARTITION BY lower(short_name)) AS namesakes FROM sample
)
SELECT * EXCLUDE (short_name, namesakes), row_number() OVER (ORDER BY raster_id) AS number,
       if(namesakes = 1, short_name, replace(raster_id, '/', '-') || '-' || row_number() OVER (PARTITION BY lower(short_name) ORDER BY raster_id))
           AS stem,
       coalesce(class, if(len(classes) = 1, classes[1], NULL)) AS main_class
FROM named ORDER BY raster_id;
