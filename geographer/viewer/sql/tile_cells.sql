-- tile_cells.sql: the layers `density` and `cells` of a vector tile: how many objects there are in each fine and each coarse cell
-- needs: {source} (formatted), $west, $north, $east, $south in map coordinates, $cells and $ratio · makes: one row of two blobs
-- There are $cells coarse cells in a row, each with $ratio fine ones. A coarse cell is at the mean place of its objects, and has the
-- most frequent kind; an object counts once, whatever its size.
WITH fine AS (
    SELECT kind, count(*) AS number, sum(place_x) AS sum_x, sum(place_y) AS sum_y, any_value(id) AS id,
           floor((place_x - $west) / ($east - $west) * $cells * $ratio)::INTEGER AS col,
           floor((place_y - $north) / ($south - $north) * $cells * $ratio)::INTEGER AS "row"
    FROM ({source})
    WHERE place_x >= $west AND place_x < $east AND place_y >= $north AND place_y < $south AND NOT is_beyond
    GROUP BY ALL
), density AS (
    SELECT sum(number)::BIGINT AS number, arg_max(kind, (number, kind)) AS kind,
           ST_AsMVTGeom(ST_Point((col + 0.5) / ($cells * $ratio) * 4096, (1 - ("row" + 0.5) / ($cells * $ratio)) * 4096),
                        {{'min_x': 0, 'min_y': 0, 'max_x': 4096, 'max_y': 4096}}::BOX_2D, 4096, 0, false) AS geometry
    FROM fine GROUP BY col, "row"
), of_kind AS (
    SELECT col // $ratio AS col, "row" // $ratio AS "row", kind, sum(number) AS number, sum(sum_x) AS sum_x, sum(sum_y) AS sum_y,
           any_value(id) AS id
    FROM fine GROUP BY ALL
), cell AS (
    SELECT sum(number)::BIGINT AS number, arg_max(kind, (number, kind)) AS kind, any_value(id) AS id,
           ST_AsMVTGeom(ST_Point((sum(sum_x) / sum(number) - $west) / ($east - $west) * 4096,
                                 (sum(sum_y) / sum(number) - $south) / ($north - $south) * 4096),
                        {{'min_x': 0, 'min_y': 0, 'max_x': 4096, 'max_y': 4096}}::BOX_2D, 4096, 0, false) AS geometry
    FROM of_kind GROUP BY col, "row"
)
SELECT (SELECT ST_AsMVT(density, 'density', 4096, 'geometry') FROM density), (SELECT ST_AsMVT(cell, 'cells', 4096, 'geometry') FROM cell);
