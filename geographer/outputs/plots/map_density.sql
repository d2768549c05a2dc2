-- map_density.sql: the number of features in each cell of a grid, by the middles of their boxes
-- needs: map_feature, $west, $south, $cell_width, $cell_height, $cut · makes: one result: column, row, features
SELECT floor((lon - $west) / $cell_width)::INTEGER AS "column", floor((lat - $south) / $cell_height)::INTEGER AS "row", count(*) AS features
FROM (
    SELECT x - 360 * floor((x - $cut) / 360) AS lon, lat
    FROM (SELECT (xmin + xmax) / 2 AS x, (ymin + ymax) / 2 AS lat FROM map_feature WHERE isfinite(xmin + ymin + xmax + ymax))
)
GROUP BY ALL ORDER BY ALL;
