-- raster_source.sql: the rasters of a revision that a selection has, in map coordinates, each with its subset of a split
-- needs: {schema} with raster and split, {joins}, {kind}, {conditions} (formatted), $at, $split · makes: rows as feature_source.sql
SELECT key, id, {kind} AS kind, x0, y0, x1, y1, place_x, place_y, is_beyond, geometry, subset, parent_id
FROM (FROM {schema}.raster WHERE valid_from <= $at AND valid_to > $at)
LEFT JOIN (SELECT id, coalesce(part, '(excluded)') AS subset FROM {schema}.split
           WHERE split = $split AND valid_from <= $at AND valid_to > $at) USING (id)
{joins} WHERE true {conditions}
