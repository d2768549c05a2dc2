-- map_focus.sql: the features of a map whose boxes meet that of a raster, with their boxes on its side of the antimeridian
-- needs: map_feature, $xmin, $ymin, $xmax, $ymax · makes: temp table map_feature
CREATE OR REPLACE TEMP TABLE map_feature AS
SELECT feature_key, class, xmin + turn AS xmin, ymin, xmax + turn AS xmax, ymax
FROM map_feature, (VALUES (0), (-360), (360)) AS turns (turn)
WHERE xmin + turn <= $xmax AND xmax + turn >= $xmin AND ymin <= $ymax AND ymax >= $ymin
QUALIFY row_number() OVER (PARTITION BY feature_key ORDER BY abs(turn)) = 1;
