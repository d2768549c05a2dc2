-- map_focus_turns.sql: the boxes of the features that meet a raster's box, on its side of the antimeridian
-- needs: map_feature, $xmin, $xmax · makes: (rows of map_feature)
UPDATE map_feature SET xmin = xmin + turns.turn, xmax = xmax + turns.turn
FROM (VALUES (-360), (360)) AS turns (turn)
WHERE NOT (map_feature.xmin <= $xmax AND map_feature.xmax >= $xmin)
  AND map_feature.xmin + turns.turn <= $xmax AND map_feature.xmax + turns.turn >= $xmin;
