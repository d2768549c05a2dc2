"""Read the tables of a revision with filters, find related features or rasters, and run user SQL."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import duckdb

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.storage.database.connection import register_table
from geographer.storage.database.sql_sandbox import translate_sql_errors, validate_select
from geographer.storage.queries.revision import GEOMETRY_COLUMNS, KEY_COLUMN, SORTED_VIEWS, TABLES, Revision, SortedView
from geographer.storage.queries.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from geographer.storage.database.connection import Database

Relation = Literal["contains", "intersects"]

_RASTERS_OF_FEATURES: Final = (
    "(SELECT raster_key FROM current_edge SEMI JOIN requested_feature USING (feature_key) "
    "WHERE contains = coalesce($relation = 'contains', contains))"
)
_FEATURES_OF_RASTERS: Final = (
    "(SELECT feature_key FROM current_edge SEMI JOIN requested_raster USING (raster_key) "
    "WHERE contains = coalesce($relation = 'contains', contains))"
)
_REQUESTED_FEATURES: Final = "(SELECT feature_key FROM requested_feature)"
_REQUESTED_RASTERS: Final = "(SELECT raster_key FROM requested_raster)"
_RASTER_IDS_OF_FEATURES: Final = f"(SELECT raster_id FROM current_raster WHERE raster_key IN {_RASTERS_OF_FEATURES})"  # noqa: S608
_REQUESTED_RASTER_IDS: Final = "(SELECT id FROM requested_raster)"
# Views that have keys are filtered by keys: integers are found faster than names.
_FEATURE_FILTER: Final = {
    "features": f"{KEY_COLUMN} IN {_REQUESTED_FEATURES}",
    "edges": f"feature_key IN {_REQUESTED_FEATURES}",
    "rasters": f"{KEY_COLUMN} IN {_RASTERS_OF_FEATURES}",
    "chips": f"{KEY_COLUMN} IN {_RASTERS_OF_FEATURES}",
    "labels": f"raster_id IN {_RASTER_IDS_OF_FEATURES}",
    "objects": "feature_id::VARCHAR IN (SELECT id FROM requested_feature)",
    "splits": f"raster_id IN {_RASTER_IDS_OF_FEATURES}",
}
_RASTER_FILTER: Final = {
    "features": f"{KEY_COLUMN} IN {_FEATURES_OF_RASTERS}",
    "edges": f"raster_key IN {_REQUESTED_RASTERS}",
    "rasters": f"{KEY_COLUMN} IN {_REQUESTED_RASTERS}",
    "chips": f"({KEY_COLUMN} IN {_REQUESTED_RASTERS} OR parent_id IN {_REQUESTED_RASTER_IDS})",
    "labels": f"raster_id IN {_REQUESTED_RASTER_IDS}",
    "objects": f"raster_id IN {_REQUESTED_RASTER_IDS}",
    "splits": f"raster_id IN {_REQUESTED_RASTER_IDS}",
}


class TableFilter(NamedTuple):
    """A filter of a table's rows; all conditions that are set must hold.

    Attributes:
        where: SQL expression over the table's columns.
        feature: Ids of features that the rows concern.
        raster: Ids of rasters that the rows concern.
        relation: Relation between feature and raster.
    """

    where: str | None = None
    feature: Sequence[str] | None = None
    raster: Sequence[str] | None = None
    relation: Relation | None = None


def build_selection(revision: Revision, table: str, table_filter: TableFilter) -> tuple[str, dict[str, Any]]:
    """Build the query for a table's filtered rows; return it with its parameters.

    Raises:
        NotFoundError: this revision lacks a feature, raster or column of the filter.
        UsageError: `where` is not one SQL expression, or the table has no relation to filter by.
    """
    conditions = [revision.validate_filter(table, table_filter.where)]
    if table_filter.feature is not None:
        _stage_ids(revision, "feature", table_filter.feature)
        conditions.append(_FEATURE_FILTER[table])
    if table_filter.raster is not None:
        _stage_ids(revision, "raster", table_filter.raster)
        conditions.append(_RASTER_FILTER[table])
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
def open_user_query(database: Database, query: str, position: int) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """Yield a separate connection, on which only a revision's tables can be read, and the user's SELECT to run on it.

    Raises:
        UsageError: it is not one SELECT, or DuckDB rejects it.
    """
    with database.clone_database().open_connection(log="r", state="r", spatial=True) as connection:
        select = validate_select(connection, query)
        Revision(connection, position)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            yield connection, select
        except duckdb.Error as error:
            tables = ", ".join(TABLES)
            raise UsageError(f"cannot run the SQL: {error}\nThe tables are {tables}.") from error


def run_user_query(database: Database, query: str, position: int) -> pa.Table:
    """Run a user's SELECT over the tables of a revision; see `open_user_query`."""
    with open_user_query(database, query, position) as (connection, select):
        return connection.execute(select).to_arrow_table()


def list_classes(revision: Revision) -> Table:
    """Read the classes with their values and numbers of features."""
    return Table(revision.fetch_arrow(Path(__file__).with_name("classes.sql").read_text()))


def find_related_ids(
    revision: Revision, subject: Literal["feature", "raster"], ids: Sequence[str], *, containing_only: bool
) -> dict[str, list[Any]]:
    """Return for each of `ids`, which are features or rasters (`subject`), the ids of its rasters or features.

    Raises:
        NotFoundError: this revision lacks an id.
    """
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
    """Create the temporary table `requested_feature` or `requested_raster`: each of `ids` once, with index and key.

    Raises:
        NotFoundError: this revision lacks an id.
    """
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
