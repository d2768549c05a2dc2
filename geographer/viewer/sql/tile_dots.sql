-- tile_dots.sql: the layer `dots` of a vector tile: a point for each object, whether its outline can be seen, and has room for a mark
-- needs: {source} (formatted), $west, $north, $east, $south, $min_size, $min_mark, $max_mark in map coordinates · makes: one blob
WITH dot AS (
    SELECT id, kind, geometry IS NOT NULL AND greatest(x1 - x0, y1 - y0) >= $min_size AS is_large,
           greatest(x1 - x0, y1 - y0) BETWEEN $min_mark AND $max_mark AS has_mark,
           ST_AsMVTGeom(ST_Point((place_x - $west) / ($east - $west) * 4096, (place_y - $south) / ($north - $south) * 4096),
                        {{'min_x': 0, 'min_y': 0, 'max_x': 4096, 'max_y': 4096}}::BOX_2D, 4096, 0, false) AS geometry
    FROM ({source})
    WHERE place_x >= $west AND place_x < $east AND place_y >= $north AND place_y < $south AND NOT is_beyond
)
SELECT ST_AsMVT(dot, 'dots', 4096, 'geometry') FROM dot;
