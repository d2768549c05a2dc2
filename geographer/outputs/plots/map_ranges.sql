-- map_ranges.sql: boxes of all features and rasters of a map, few for many: those that begin in the same degree of longitude are one
-- needs: map_feature, map_raster · makes: one result: xmin, ymin, xmax, ymax
SELECT min(xmin) AS xmin, min(ymin) AS ymin, max(xmax) AS xmax, max(ymax) AS ymax
FROM (SELECT xmin, ymin, xmax, ymax FROM map_feature UNION ALL SELECT xmin, ymin, xmax, ymax FROM map_raster)
WHERE isfinite(xmin + ymin + xmax + ymax)
GROUP BY floor(xmin) ORDER BY ALL;
