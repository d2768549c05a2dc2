-- map_crossing.sql: let the box of a feature across the antimeridian, whose geometry is split there, begin in the east and end beyond 180
-- needs: map_feature, current_feature · makes: (rows of map_feature)
UPDATE map_feature SET xmin = east, xmax = west + 360
FROM (
    SELECT feature_key, list_min([ST_XMin(part.geom) for part in parts if ST_XMin(part.geom) >= 0]) AS east,
           list_max([ST_XMax(part.geom) for part in parts if ST_XMax(part.geom) <= 0]) AS west,
           list_bool_or([ST_XMin(part.geom) < 0 AND ST_XMax(part.geom) > 0 for part in parts]) AS is_around
    FROM (SELECT feature_key, ST_Dump(geometry) AS parts FROM current_feature
          SEMI JOIN (FROM map_feature WHERE xmax - xmin > 180) USING (feature_key))
) AS crossing
WHERE map_feature.feature_key = crossing.feature_key AND NOT is_around AND east IS NOT NULL AND west IS NOT NULL;
