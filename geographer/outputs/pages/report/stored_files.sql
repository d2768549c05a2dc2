-- stored_files.sql: the MD5 of each file of the revision that DVC keeps, by what it is
-- needs: current_raster, current_label · makes: one result: subject ('rasters', 'chips' or 'labels'), collection or label, md5
SELECT if(parent_id IS NULL, 'rasters', 'chips') AS subject, collection AS name, md5 FROM current_raster WHERE storage = 'dvc'
UNION ALL
SELECT 'labels', label, md5 FROM current_label;
