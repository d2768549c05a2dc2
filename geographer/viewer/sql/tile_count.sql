-- tile_count.sql: how many objects a vector tile has
-- needs: {source} (formatted), $west, $north, $east, $south in map coordinates · makes: one number
SELECT count(*) FROM ({source}) WHERE x1 >= $west AND x0 <= $east AND y1 >= $north AND y0 <= $south AND NOT is_beyond;
