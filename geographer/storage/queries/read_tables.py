"""Read the tables of a revision with filters, find related features or rasters, and run user SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

import duckdb

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.storage.database.connection import Database, register_table
from geographer.storage.database.query_limits import fetch_limited_table, limit_memory, limit_time
from geographer.storage.database.sql_sandbox import hide_credentials, translate_sql_errors, validate_select
from geographer.storage.queries.revision import GEOMETRY_COLUMNS, KEY_COLUMN, SORTED_VIEWS, TABLES, Revision, SortedView
from geographer.storage.queries.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

FileLocator = Callable[[Revision], None]
"""Calls `Revision.locate_files`."""
Relation = Literal["contains", "intersects"]

_RELATED: Final = (
    "(SELECT {0}_key FROM current_edge SEMI JOIN requested_{1} USING ({1}_key) "
    "WHERE contains = coalesce($relation = 'contains', contains))"
)
_SETS: Final = {
    **{"features": "(SELECT feature_key FROM requested_feature)", "feature_ids": "(SELECT id FROM requested_feature)"},
    **{"rasters": "(SELECT raster_key FROM requested_raster)", "raster_ids": "(SELECT id FROM requested_raster)"},
    "features_of_rasters": _RELATED.format("feature", "raster"),
    "rasters_of_features": _RELATED.format("raster", "feature"),
    "key": KEY_COLUMN,
}
_IDS_OF_FEATURES: Final = (
    "raster_id IN (SELECT raster_id FROM current_raster WHERE raster_key IN {rasters_of_features})"
)
_FILTERS: Final = {
    "features": ("{key} IN {features}", "{key} IN {features_of_rasters}"),
    "edges": ("feature_key IN {features}", "raster_key IN {rasters}"),
    "rasters": ("{key} IN {rasters_of_features}", "{key} IN {rasters}"),
    "chips": ("{key} IN {rasters_of_features}", "({key} IN {rasters} OR parent_id IN {raster_ids})"),
    "labels": (_IDS_OF_FEATURES, "raster_id IN {raster_ids}"),
    "objects": ("feature_id::VARCHAR IN {feature_ids}", "raster_id IN {raster_ids}"),
    "splits": (_IDS_OF_FEATURES, "raster_id IN {raster_ids}"),
}
"""The conditions by features and by rasters; by keys in views that have them: integers are found faster than names."""


class TableFilter(NamedTuple):
    """Which rows of a table to read: those of these features or rasters, in this relation, for which `where` is true.

    `where` is an SQL expression over the table's columns. All conditions that are set must hold.
    """

    where: str | None = None
    feature: Sequence[str] | None = None
    raster: Sequence[str] | None = None
    relation: Relation | None = None


def require_table(table: str) -> None:
    """Raise `NotFoundError` unless `table` is one of the tables of a revision."""
    if not isinstance(table, str) or table not in TABLES:
        raise NotFoundError(f"no table {table!r}. The tables are {', '.join(TABLES)}.")


def build_selection(revision: Revision, table: str, table_filter: TableFilter) -> tuple[str, dict[str, Any]]:
    """Build the query for a table's filtered rows; return it with its parameters.

    Raises:
        NotFoundError: this revision lacks a feature, raster or column of the filter.
        UsageError: `where` is not one SQL expression, or the table has no relation to filter by.
    """
    require_table(table)
    relation, relations = table_filter.relation, get_args(Relation)
    if relation is not None and not (isinstance(relation, str) and relation in relations):
        raise UsageError(f"invalid --relation {relation!r}. Use {' or '.join(relations)}.")
    conditions = [revision.validate_filter(table, table_filter.where)]
    by_feature, by_raster = _FILTERS.get(table, ("", ""))
    if not by_feature and (table_filter.feature is not None or table_filter.raster is not None):
        raise UsageError(f"table '{table}' has neither features nor rasters to filter by. Use a condition (where).")
    if table_filter.feature is not None:
        _stage_ids(revision, "feature", table_filter.feature)
        conditions.append(by_feature.format(**_SETS))
    if table_filter.raster is not None:
        _stage_ids(revision, "raster", table_filter.raster)
        conditions.append(by_raster.format(**_SETS))
    if table == "edges" and table_filter.relation is not None:
        conditions.append("relation = $relation")
    view = SORTED_VIEWS.get(table, SortedView(table))
    # Sort last: a join has no order.
    query = f"SELECT *{view.exclude} FROM {view.source} WHERE {' AND '.join(conditions)}{view.order_by}"  # noqa: S608
    if table_filter.relation is not None and "$relation" not in query:
        raise UsageError(
            f"--relation needs a feature and a raster. Query edges, or add --feature or --raster to {table}."
        )
    return query, {"relation": table_filter.relation} if "$relation" in query else {}


def read_table(revision: Revision, table: str, table_filter: TableFilter) -> Table:
    """Read a table's filtered rows; geometry as WKB."""
    query, parameters = build_selection(revision, table, table_filter)
    geometry = GEOMETRY_COLUMNS.get(table)
    if geometry is not None:
        query = f"SELECT * REPLACE (ST_AsWKB({geometry})::BLOB AS {geometry}) FROM ({query})"  # noqa: S608
    with translate_sql_errors(table_filter.where):
        return Table(revision.fetch_arrow(query, parameters), geometry)


@contextmanager
def open_user_query(
    database: Database, query: str, position: int, locate_files: FileLocator, timeout_s: float | None
) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """Yield a separate connection, which can read only a revision's tables, and the user's SELECT to run on it.

    `UsageError` if it is not one SELECT, or DuckDB rejects it, or it takes longer than `timeout_s` (None: no limit).
    """
    with database.clone_database().open_connection(log="r", state="r", spatial=True) as connection:
        select = validate_select(connection, query)
        locate_files(Revision(connection, position))
        limit_memory(connection)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            with limit_time(connection, timeout_s):
                yield connection, select
        except (duckdb.Error, ValueError, NotImplementedError) as error:  # The latter two come from Arrow.
            tables = ", ".join(TABLES)
            detail = hide_credentials(query, str(error))
            raise UsageError(f"cannot run the SQL: {detail}\nThe tables are {tables}.") from error


def run_user_query(
    database: Database, query: str, position: int, locate_files: FileLocator, timeout_s: float | None
) -> pa.Table:
    """Run a user's SELECT over the tables of a revision; see `open_user_query`."""
    with open_user_query(database, query, position, locate_files, timeout_s) as (connection, select):
        return fetch_limited_table(connection, select)


def list_classes(revision: Revision) -> Table:
    """Read the classes with their values and numbers of features."""
    return Table(revision.fetch_arrow(Path(__file__).with_name("classes.sql").read_text()))


def find_related_ids(
    revision: Revision, subject: Literal["feature", "raster"], ids: Sequence[str], *, containing_only: bool
) -> dict[str, list[Any]]:
    """Return the ids of the rasters or features of each of `ids` (of `subject`); `NotFoundError` if one is unknown."""
    unique_ids = list(dict.fromkeys(ids))
    _stage_ids(revision, subject, unique_ids)
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


def _group_by_index(pairs: pa.Table, count: int) -> list[list[Any]]:
    """Group the `other_id`s of `pairs`, which are sorted by `index`, into `count` lists; equal ids are one object."""
    import numpy as np

    encoded = pairs["other_id"].combine_chunks().dictionary_encode()
    values = np.array(encoded.dictionary.to_pylist(), dtype=object)
    flat = values[encoded.indices.to_numpy()].tolist()
    ends = np.cumsum(np.bincount(pairs["index"].to_numpy(), minlength=count)).tolist()
    return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _stage_ids(revision: Revision, subject: Literal["feature", "raster"], ids: Sequence[str]) -> None:
    """Create the temporary table `requested_feature` or `requested_raster`: each of `ids` once, with index and key."""
    import pyarrow as pa

    unique_ids = pa.array(list(dict.fromkeys(ids)), pa.string())
    rows = pa.table({"id": unique_ids, "index": pa.array(range(len(unique_ids)), pa.int64())})
    with register_table(revision.connection, "requested_id", rows):
        revision.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE requested_{subject} AS SELECT id, index, {subject}_key FROM requested_id "  # noqa: S608
            f"LEFT JOIN (SELECT {subject}_key, {subject}_id FROM current_{subject}) ON id = {subject}_id"
        )
    unknown = revision.fetch_rows(f"SELECT id FROM requested_{subject} WHERE {subject}_key IS NULL ORDER BY id")  # noqa: S608
    if unknown:
        names = quote_names([row[0] for row in unknown])
        raise NotFoundError(f"no {subject} {names} at @{revision.position}. See geographer {subject}s.")
