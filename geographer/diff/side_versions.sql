-- side_versions.sql: the versions of objects of {kind} that are valid at $here and not at $there, as one side of a difference
-- needs: tables of the state, $here, $there · makes: temp table {side}_side_{kind}
-- Selecting rows by their number first lets DuckDB skip the blocks of wide columns that have none of them.
CREATE OR REPLACE TEMP TABLE {side}_side_{kind} AS
SELECT {columns}, {digest} AS row_digest, valid_from, valid_to
FROM (FROM state.{table} WHERE rowid IN (
    SELECT rowid FROM state.{table}
    WHERE valid_from <= $here AND valid_to > $here AND NOT (valid_from <= $there AND valid_to > $there))) {joins};
