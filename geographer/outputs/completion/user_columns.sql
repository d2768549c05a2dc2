-- user_columns.sql: the columns that users gave to features or rasters, without those that were dropped
-- needs: state.user_column, $parent (feature or raster) · makes: rows of name
SELECT name FROM state.user_column WHERE subject = $parent GROUP BY name HAVING arg_max(type IS NOT NULL, position)
