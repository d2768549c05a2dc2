-- selected_files.sql: the files of selected rasters and of those that selected chips are read or cut again from, with their labels
-- needs: views of the revision, selected_raster (raster_id) · makes: temp table selected_file (path, size, md5)
CREATE OR REPLACE TEMP TABLE selected_file AS
WITH RECURSIVE needed AS (
    FROM selected_raster
    UNION
    SELECT parent_id AS raster_id FROM current_raster SEMI JOIN needed USING (raster_id)
    WHERE parent_id IS NOT NULL AND (recipe IN (SELECT name FROM recipes) OR storage = 'virtual')
)
SELECT path, size, md5 FROM current_raster SEMI JOIN needed USING (raster_id) WHERE storage = 'dvc'
UNION ALL
SELECT path, size, md5 FROM current_label SEMI JOIN needed USING (raster_id);
