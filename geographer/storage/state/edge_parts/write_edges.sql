-- write_edges.sql: the edges of a part as a Parquet file, in the order of the keys
-- needs: state.edge · makes: a file
COPY (FROM state.edge ORDER BY feature_key, raster_key, valid_from) TO '{path}' (FORMAT parquet);
