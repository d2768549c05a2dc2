-- contact_sheet.sql: at most $limit of the samples that show one of $classes (null: all), or were cut for one; chosen by their ids
-- needs: sample, $classes, $limit · makes: temp table shown_sample
CREATE OR REPLACE TEMP TABLE shown_sample AS
SELECT raster_id, part, coalesce(class, if(len(classes) = 1, classes[1], NULL)) AS class, count(*) OVER () AS total
FROM sample
WHERE $classes::VARCHAR[] IS NULL OR list_contains($classes::VARCHAR[], class) OR list_has_any(classes, $classes::VARCHAR[])
ORDER BY md5(raster_id), raster_id LIMIT $limit;
