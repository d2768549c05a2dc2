-- map_footprints.sql: the groups of rasters of a map, with numbers
-- needs: map_raster · makes: one result: kind (rasters, chips, subset), name, rasters
SELECT kind, name, count(*) AS rasters FROM map_raster GROUP BY kind, name ORDER BY kind, name;
