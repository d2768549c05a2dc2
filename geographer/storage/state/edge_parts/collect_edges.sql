-- collect_edges.sql: the edges of all parts, in the order of the keys
-- needs: $edges · makes: versions in state.edge
INSERT INTO state.edge BY NAME FROM read_parquet($edges) ORDER BY feature_key, raster_key, valid_from;
