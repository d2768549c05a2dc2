-- map_focus.sql: end the features of a map whose boxes do not meet that of a raster
-- needs: map_feature, $xmin, $ymin, $xmax, $ymax · makes: (rows of map_feature)
DELETE FROM map_feature
WHERE (list_bool_or([xmin + turn <= $xmax AND xmax + turn >= $xmin FOR turn IN [0, -360, 360]])
       AND ymin <= $ymax AND ymax >= $ymin) IS NOT TRUE;
