-- feature_source.sql: the features of a revision that a selection has, in map coordinates
-- needs: {schema} with feature, {joins}, {conditions} (formatted), $at · makes: rows for tile_*.sql and the lists
SELECT key, id, kind, x0, y0, x1, y1, place_x, place_y, is_beyond, geometry, NULL AS subset, NULL AS parent_id
FROM {schema}.feature {joins} WHERE valid_from <= $at AND valid_to > $at {conditions}
