"""Read the tables of a revision with filters, find related features or rasters, and run user SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import duckdb

from geographer.base.errors import UsageError
from geographer.base.python_values import make_python_value
from geographer.storage.database.connection import Database, quote_identifier, register_table
from geographer.storage.database.query_limits import fetch_limited_table, limit_memory, limit_time
from geographer.storage.database.sql_sandbox import hide_credentials, translate_sql_errors, validate_select
from geographer.storage.queries.raster_counts import COUNT_COLUMNS, build_counted_source
from geographer.storage.queries.revision import KEY_COLUMN, TABLES, Revision
from geographer.storage.queries.selection import (
    TableFilter,
    build_limit,
    build_selection,
    find_geometry_column,
    require_columns,
    stage_ids,
)
from geographer.storage.queries.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

_EDGES_OF_COLLECTION: Final = (
    "SEMI JOIN (SELECT raster_key FROM current_raster WHERE collection = $collection) USING (raster_key)"
)

FileLocator = Callable[[Revision], None]
"""Calls `Revision.locate_files`."""


def read_table(revision: Revision, table: str, table_filter: TableFilter) -> Table:
    """Read a table's filtered rows; geometry as WKB."""
    query, parameters = build_selection(revision, table, table_filter)
    geometry = find_geometry_column(table, table_filter)
    if geometry is not None:
        query = f"SELECT * REPLACE (ST_AsWKB({geometry})::BLOB AS {geometry}) FROM ({query})"  # noqa: S608
    with translate_sql_errors(table_filter.where):
        return Table(revision.fetch_arrow(query, parameters), geometry)


def count_rows(revision: Revision, table: str, table_filter: TableFilter) -> int:
    """Return the number of a table's filtered rows, whatever the limit is."""
    query, parameters = build_selection(revision, table, table_filter._replace(limit=None))
    with translate_sql_errors(table_filter.where):
        return int(revision.fetch_value(f"SELECT count(*) FROM ({query})", parameters))  # noqa: S608


class UserQuery(NamedTuple):
    """A user's SELECT over the tables of the revision at `position`, with the values of its parameters.

    It is stopped after `timeout_s` seconds; None: never. `columns` and `limit` select from its result, as in
    `TableFilter`.
    """

    database: Database
    query: str
    position: int
    locate_files: FileLocator
    timeout_s: float | None
    parameters: Any = None
    columns: Sequence[str] | None = None
    limit: int | None = None


def validate_query_parameters(parameters: Any) -> list[Any] | dict[str, Any] | None:
    """Return the values of a query's parameters as DuckDB takes them; `UsageError` unless they are a list or by name.

    Scalars and arrays of numpy, pandas and Arrow become values of Python.
    """
    if parameters is None:
        return None
    if isinstance(parameters, Mapping):
        return {str(name): make_python_value(value) for name, value in parameters.items()}
    if isinstance(parameters, str | bytes) or not isinstance(parameters, Iterable):
        raise UsageError(f"invalid parameters {parameters!r}. Use a list of values, or a dictionary by name.")
    return [*map(make_python_value, parameters)]


@contextmanager
def open_user_query(user_query: UserQuery) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """Yield a separate connection, which can read only a revision's tables, and the user's SELECT to run on it.

    `UsageError` if it is not one SELECT, or DuckDB rejects it, or it takes too long.
    """
    query = user_query.query
    with user_query.database.clone_database().open_connection(log="r", state="r", spatial=True) as connection:
        select = validate_select(connection, query)
        revision = Revision(connection, user_query.position)
        user_query.locate_files(revision)
        connection = revision.connection
        limit_memory(connection)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            with limit_time(connection, user_query.timeout_s):
                yield connection, _limit_query(connection, select, user_query)
        except (duckdb.Error, ValueError, NotImplementedError) as error:  # The latter two come from Arrow.
            tables = ", ".join(TABLES)
            detail = hide_credentials(query, str(error))
            raise UsageError(f"cannot run the SQL: {detail}\nThe tables are {tables}.") from error


def _limit_query(connection: duckdb.DuckDBPyConnection, select: str, user_query: UserQuery) -> str:
    """Return the query for the columns and the number of rows that are wanted of the user's SELECT."""
    limit, selected = build_limit(user_query.limit), "*"
    if user_query.columns is not None:
        described = connection.execute(f"DESCRIBE ({select}\n)", user_query.parameters).fetchall()
        names = require_columns(user_query.columns, [row[0] for row in described], "the result")
        selected = ", ".join(map(quote_identifier, names))
    return f"SELECT {selected} FROM ({select}\n){limit}" if limit or selected != "*" else select  # noqa: S608


def count_query_rows(user_query: UserQuery) -> int:
    """Return the number of rows of a user's SELECT, whatever the limit is."""
    with open_user_query(user_query._replace(limit=None, columns=None)) as (connection, select):
        query = f"SELECT count(*) FROM ({select}\n)"  # noqa: S608
        return int(connection.execute(query, user_query.parameters).fetchall()[0][0])


def run_user_query(user_query: UserQuery) -> pa.Table:
    """Run a user's SELECT over the tables of a revision; see `open_user_query`."""
    with open_user_query(user_query) as (connection, select):
        return fetch_limited_table(connection, select, user_query.parameters)


def list_classes(revision: Revision) -> Table:
    """Read the classes with their values and numbers of features."""
    return Table(revision.fetch_arrow(Path(__file__).with_name("classes.sql").read_text()))


def find_related_ids(
    revision: Revision, subject: Literal["feature", "raster"], ids: Sequence[str], *, containing_only: bool
) -> dict[str, list[Any]]:
    """Return the ids of the rasters or features of each of `ids` (of `subject`); `NotFoundError` if one is unknown."""
    unique_ids = list(dict.fromkeys(ids))
    stage_ids(revision, subject, unique_ids)
    other = "raster" if subject == "feature" else "feature"
    # Joining keys before names makes 100,000 ids cost one pass over the edges.
    id_type = revision.feature_id_type if other == "feature" else "VARCHAR"
    pairs = revision.fetch_arrow(
        f"SELECT index, o.{other}_id::{id_type} AS other_id "  # noqa: S608
        f"FROM requested_{subject} JOIN current_edge USING ({subject}_key) "
        f"JOIN (SELECT {other}_key, {other}_id FROM current_{other}) AS o USING ({other}_key) "
        f"WHERE contains OR NOT $containing_only ORDER BY index, {other}_key",
        {"containing_only": containing_only},
    )
    return dict(zip(unique_ids, _group_by_index(pairs, len(unique_ids)), strict=True))


def count_rasters_of_features(revision: Revision, features: Sequence[str] | None, collection: str | None) -> pa.Table:
    """Return `feature_id` and the count columns of `features` (None: all), in the order of addition.

    Only rasters of `collection` count (None: all). `NotFoundError` if a feature does not exist.
    """
    parameters = {} if collection is None else {"collection": collection}
    requested = ""
    if features is not None:
        stage_ids(revision, "feature", features)
        requested = f" WHERE {KEY_COLUMN} IN (SELECT feature_key FROM requested_feature)"  # noqa: S608
    features_view = f"(SELECT feature_id, {KEY_COLUMN} FROM features_unordered{requested})"  # noqa: S608
    source = build_counted_source(features_view, rasters=_EDGES_OF_COLLECTION if parameters else "")
    columns = ", ".join(("feature_id", *COUNT_COLUMNS))
    return revision.fetch_arrow(f"SELECT {columns} FROM {source} ORDER BY {KEY_COLUMN}", parameters)  # noqa: S608


def find_relations(revision: Revision, features: Sequence[str], rasters: Sequence[str]) -> list[bool | None]:
    """Return for each pair whether the raster contains the feature (True) or intersects it (False); None: neither.

    `features` and `rasters` are of one length. `NotFoundError` if an id is unknown.
    """
    import pyarrow as pa

    stage_ids(revision, "feature", features)
    stage_ids(revision, "raster", rasters)
    ids = {"feature_id": pa.array(features, pa.string()), "raster_id": pa.array(rasters, pa.string())}
    pairs = pa.table({"index": pa.array(range(len(features)), pa.int64()), **ids})
    with register_table(revision.connection, "requested_pair", pairs):
        query = Path(__file__).with_name("pair_relations.sql").read_text()
        return [contains for (contains,) in revision.fetch_rows(query)]


def _group_by_index(pairs: pa.Table, count: int) -> list[list[Any]]:
    """Group the `other_id`s of `pairs`, which are sorted by `index`, into `count` lists; equal ids are one object."""
    import numpy as np

    encoded = pairs["other_id"].combine_chunks().dictionary_encode()
    values = np.array(encoded.dictionary.to_pylist(), dtype=object)
    flat = values[encoded.indices.to_numpy()].tolist()
    ends = np.cumsum(np.bincount(pairs["index"].to_numpy(), minlength=count)).tolist()
    return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]
