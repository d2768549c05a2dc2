-- map_focus_rasters.sql: end the rasters of a map whose boxes do not meet that of a raster
-- needs: map_raster, $xmin, $ymin, $xmax, $ymax · makes: (rows of map_raster)
DELETE FROM map_raster
WHERE NOT list_bool_or([xmin + turn <= $xmax AND xmax + turn >= $xmin FOR turn IN [0, -360, 360]])
   OR ymin > $ymax OR ymax < $ymin;
