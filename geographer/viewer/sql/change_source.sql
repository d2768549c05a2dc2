-- change_source.sql: the features or rasters that differ between two revisions, in map coordinates; the kind is how they differ
-- needs: {schema} with {table}, {changes} (key, change), {conditions} (formatted) · makes: rows as feature_source.sql
SELECT key, id, change AS kind, x0, y0, x1, y1, place_x, place_y, is_beyond, geometry, NULL AS subset, NULL AS parent_id
FROM (FROM {schema}.{table} SEMI JOIN {schema}.{changes} USING (key)
      QUALIFY row_number() OVER (PARTITION BY key ORDER BY valid_from DESC) = 1)
JOIN {schema}.{changes} USING (key) WHERE true {conditions}
