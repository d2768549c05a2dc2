-- tile_cells.sql: the layer `cells` of a vector tile: how many objects there are in each cell, and the most frequent kind
-- needs: {source} (formatted), $west, $north, $east, $south in map coordinates, $cells (in a row) · makes: one blob
-- A cell is at the mean place of its objects; an object counts once, whatever its size.
WITH placed AS (
    SELECT id, kind, place_x, place_y, floor((place_x - $west) / ($east - $west) * $cells)::INTEGER AS col,
           floor((place_y - $north) / ($south - $north) * $cells)::INTEGER AS "row"
    FROM ({source})
    WHERE place_x >= $west AND place_x < $east AND place_y >= $north AND place_y < $south
), of_kind AS (
    SELECT col, "row", kind, count(*) AS number, sum(place_x) AS sum_x, sum(place_y) AS sum_y, min(id) AS id
    FROM placed GROUP BY ALL
), cell AS (
    SELECT sum(number)::BIGINT AS number, arg_max(kind, (number, kind)) AS kind, min(id) AS id,
           ST_AsMVTGeom(ST_Point((sum(sum_x) / sum(number) - $west) / ($east - $west) * 4096,
                                 (sum(sum_y) / sum(number) - $south) / ($north - $south) * 4096),
                        {{'min_x': 0, 'min_y': 0, 'max_x': 4096, 'max_y': 4096}}::BOX_2D, 4096, 0, false) AS geometry
    FROM of_kind GROUP BY col, "row"
)
SELECT ST_AsMVT(cell, 'cells', 4096, 'geometry') FROM cell;
