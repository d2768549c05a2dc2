-- count_features.sql: how many versions of features the edges of new versions can have
-- needs: state.feature, state.raster, $after · makes: nothing
SELECT count(*) FROM state.feature
WHERE valid_to > $after AND (valid_from > $after OR EXISTS (FROM state.raster WHERE valid_from > $after));
