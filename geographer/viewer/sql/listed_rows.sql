-- listed_rows.sql: a page of the objects of a selection, in the order of addition
-- needs: {source}, {conditions} (formatted), $offset, $limit · makes: one result: id, kind, subset, parent_id, place, box, is_beyond
SELECT id, kind, subset, parent_id, place_x, place_y, x0, y0, x1, y1, is_beyond
FROM ({source}) WHERE true {conditions} ORDER BY key LIMIT $limit OFFSET $offset
