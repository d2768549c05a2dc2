-- feature_spread.sql: how the features are spread over the globe: bounds, hemispheres, cells of one degree, and the fullest cell
-- needs: current_feature · makes: one result: features, west, south, east, north, gap_west, gap_east, northern, tropical, cells, fullest, median_lat
WITH located AS (
    SELECT xmin, ymin, xmax, ymax, (xmin + xmax) / 2 AS lon, (ymin + ymax) / 2 AS lat
    FROM current_feature WHERE NOT isnan(xmin) AND isfinite(xmin)
), cell AS (
    SELECT count(*) AS features FROM located GROUP BY floor(lon), floor(lat)
), ordered AS (
    -- The widest stretch of longitude without a feature: the bounds of data on both sides of 180 begin where it ends.
    SELECT max(xmax) OVER (ORDER BY xmin, xmax ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS gap_west, xmin AS gap_east
    FROM located
), gap AS (
    SELECT gap_west, gap_east FROM ordered WHERE gap_west IS NOT NULL ORDER BY gap_east - gap_west DESC, gap_east LIMIT 1
)
SELECT count(*) AS features, min(xmin) AS west, min(ymin) AS south, max(xmax) AS east, max(ymax) AS north,
       (SELECT gap_west FROM gap) AS gap_west, (SELECT gap_east FROM gap) AS gap_east,
       count(*) FILTER (lat >= 0) AS northern, count(*) FILTER (abs(lat) <= 23.44) AS tropical,
       (SELECT count(*) FROM cell) AS cells, (SELECT max(features) FROM cell) AS fullest, quantile_disc(lat, 0.5) AS median_lat
FROM located;
