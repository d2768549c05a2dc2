-- feature_spread.sql: how the features are spread over the globe: bounds, hemispheres, cells of one degree, and the fullest cell
-- needs: current_feature · makes: one result: features, west, south, east, north, gap_west, gap_east, northern, tropical, cells, fullest, median_lat
WITH box AS (
    -- The boxes of the parts. A feature on both sides of the antimeridian is cut there: one box would go round the globe.
    SELECT feature_key, ST_XMin(part) AS west, ST_YMin(part) AS south, ST_XMax(part) AS east, ST_YMax(part) AS north
    FROM (SELECT feature_key, unnest(ST_Dump(geometry)).geom AS part FROM current_feature WHERE NOT ST_IsEmpty(geometry))
), crossing AS (
    SELECT feature_key, min(west) <= -180 AND max(east) >= 180 AND count(*) > 1 AS crosses FROM box GROUP BY feature_key
), located AS (
    SELECT (min(shifted_west) + max(shifted_east)) / 2 AS lon, (min(south) + max(north)) / 2 AS lat
    FROM (SELECT *, if(crosses AND east <= 0, 360, 0) AS shift, west + shift AS shifted_west, east + shift AS shifted_east
          FROM box JOIN crossing USING (feature_key))
    GROUP BY feature_key
), cell AS (
    -- Places on the 180th meridian and at the north pole belong to the cells west and south of them.
    SELECT count(*) AS features FROM located GROUP BY least(floor(if(lon > 180, lon - 360, lon)), 179), least(floor(lat), 89)
), ordered AS (
    -- The widest stretch of longitude without a feature: the bounds of data on both sides of 180 begin where it ends.
    SELECT max(east) OVER (ORDER BY west, east ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS gap_west, west AS gap_east
    FROM box
), gap AS (
    SELECT gap_west, gap_east FROM ordered WHERE gap_west IS NOT NULL ORDER BY gap_east - gap_west DESC, gap_east LIMIT 1
)
SELECT count(*) AS features, (SELECT min(west) FROM box) AS west, (SELECT min(south) FROM box) AS south,
       (SELECT max(east) FROM box) AS east, (SELECT max(north) FROM box) AS north,
       (SELECT gap_west FROM gap) AS gap_west, (SELECT gap_east FROM gap) AS gap_east,
       count(*) FILTER (lat >= 0) AS northern, count(*) FILTER (abs(lat) <= 23.44) AS tropical,
       (SELECT count(*) FROM cell) AS cells, (SELECT max(features) FROM cell) AS fullest, median(lat) AS median_lat
FROM located;
