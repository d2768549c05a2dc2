-- export_samples.sql: number the samples by id, from 1, and give each a name for its files that no other one has, in any case
-- needs: sample · makes: temp table export_sample
CREATE OR REPLACE TEMP TABLE export_sample AS
WITH named AS (
    SELECT *, regexp_extract(raster_id, '[^/]*$') AS short_name, count(*) OVER (PARTITION BY lower(short_name)) AS namesakes FROM sample
)
SELECT * EXCLUDE (short_name, namesakes), row_number() OVER (ORDER BY raster_id) AS number,
       if(namesakes = 1, short_name, replace(raster_id, '/', '-') || '-' || row_number() OVER (PARTITION BY lower(short_name) ORDER BY raster_id))
           AS stem
FROM named ORDER BY raster_id;
