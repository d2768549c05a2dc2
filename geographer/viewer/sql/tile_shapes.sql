-- tile_shapes.sql: the layer `shapes` of a vector tile: outlines that are large enough to see, clipped to the tile
-- needs: {source} (formatted), $west, $north, $east, $south, $min_size, $limit in map coordinates · makes: one blob
WITH candidate AS (
    SELECT id, kind, geometry FROM ({source})
    WHERE x1 >= $west AND x0 <= $east AND y1 >= $north AND y0 <= $south AND geometry IS NOT NULL
          AND greatest(x1 - x0, y1 - y0) >= $min_size
    LIMIT $limit
), shape AS (
    SELECT id, kind,
           ST_AsMVTGeom(ST_Transform(geometry, 'EPSG:4326', 'EPSG:3857', always_xy := true),
                        {{'min_x': ($west - 0.5) * 40075016.68557849, 'min_y': (0.5 - $south) * 40075016.68557849,
                          'max_x': ($east - 0.5) * 40075016.68557849, 'max_y': (0.5 - $north) * 40075016.68557849}}::BOX_2D,
                        4096, 64, true) AS geometry
    FROM candidate
)
SELECT ST_AsMVT(shape, 'shapes', 4096, 'geometry') FROM shape WHERE geometry IS NOT NULL AND NOT ST_IsEmpty(geometry);
