"""Reads of one revision: its tables, filtered, in the form that was asked for, and the graph's questions by name."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import duckdb

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.storage.database.sql_sandbox import translate_sql_errors, validate_select
from geographer.storage.queries.revision import GEOMETRY_OF, KEY, ORDERED, TABLES, Revision
from geographer.storage.queries.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from geographer.storage.database.connection import Database

Relation = Literal["contains", "intersects"]

_CLASSES: Final = Path(__file__).with_name("classes.sql")
_SHOWING: Final = (
    "(SELECT raster_key FROM edge_now SEMI JOIN asked_feature USING (feature_key) "
    "WHERE contains = coalesce($relation = 'contains', contains))"
)
_SHOWN: Final = (
    "(SELECT feature_key FROM edge_now SEMI JOIN asked_raster USING (raster_key) "
    "WHERE contains = coalesce($relation = 'contains', contains))"
)
_ASKED_FEATURES: Final = "(SELECT feature_key FROM asked_feature)"
_ASKED_RASTERS: Final = "(SELECT raster_key FROM asked_raster)"
_NAMES_OF_SHOWING: Final = f"(SELECT raster_id FROM raster_now WHERE raster_key IN {_SHOWING})"  # noqa: S608
_ASKED_NAMES: Final = "(SELECT id FROM asked_raster)"
# By keys where there are keys: whole numbers are found faster than names are.
_FEATURE_FILTER: Final = {
    "features": f"{KEY} IN {_ASKED_FEATURES}",
    "edges": f"feature_key IN {_ASKED_FEATURES}",
    "rasters": f"{KEY} IN {_SHOWING}",
    "chips": f"{KEY} IN {_SHOWING}",
    "labels": f"raster_id IN {_NAMES_OF_SHOWING}",
    "objects": "feature_id::VARCHAR IN (SELECT id FROM asked_feature)",
    "splits": f"raster_id IN {_NAMES_OF_SHOWING}",
}
_RASTER_FILTER: Final = {
    "features": f"{KEY} IN {_SHOWN}",
    "edges": f"raster_key IN {_ASKED_RASTERS}",
    "rasters": f"{KEY} IN {_ASKED_RASTERS}",
    "chips": f"({KEY} IN {_ASKED_RASTERS} OR parent_id IN {_ASKED_NAMES})",
    "labels": f"raster_id IN {_ASKED_NAMES}",
    "objects": f"raster_id IN {_ASKED_NAMES}",
    "splits": f"raster_id IN {_ASKED_NAMES}",
}


class TableFilter(NamedTuple):
    """Which rows of a table: a person's SQL expression, features, rasters, one relation; all that are given."""

    where: str | None = None
    feature: Sequence[str] | None = None
    raster: Sequence[str] | None = None
    relation: Relation | None = None


def build_selection(revision: Revision, table: str, wanted: TableFilter) -> tuple[str, dict[str, Any]]:
    """The query for the wanted rows of a table, and its parameters.

    Raises:
        NotFoundError: a feature, a raster or a column of the filter is not there at this revision.
        UsageError: the filter is not one SQL expression, or there is no relation to filter by.
    """
    conditions = [revision.validate_filter(table, wanted.where)]
    if wanted.feature is not None:
        _ask(revision, "feature", wanted.feature)
        conditions.append(_FEATURE_FILTER[table])
    if wanted.raster is not None:
        _ask(revision, "raster", wanted.raster)
        conditions.append(_RASTER_FILTER[table])
    if table == "edges" and wanted.relation is not None:
        conditions.append("relation = $relation")
    source, hidden, order = ORDERED.get(table, (table, "", ""))
    # Ordered at last: what comes out of a join has no order.
    query = f"SELECT *{hidden} FROM {source} WHERE {' AND '.join(conditions)}{order}"  # noqa: S608
    if wanted.relation is not None and "$relation" not in query:
        raise UsageError(f"--relation is of a feature to a raster: ask for edges, or for {table} with the other's id")
    return query, {"relation": wanted.relation} if "$relation" in query else {}


def read_table(revision: Revision, table: str, wanted: TableFilter) -> Table:
    """The wanted rows as Arrow, geometry as WKB."""
    query, parameters = build_selection(revision, table, wanted)
    geometry = GEOMETRY_OF.get(table)
    if geometry is not None:
        query = f"SELECT * REPLACE (ST_AsWKB({geometry})::BLOB AS {geometry}) FROM ({query})"  # noqa: S608
    with translate_sql_errors(wanted.where):
        return Table(revision.fetch_arrow(query, parameters), geometry)


@contextmanager
def open_user_query(engine: Database, query: str, position: int) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """A person's SELECT, and a connection of its own to run it on: it reads a revision's tables, and nothing else.

    Raises:
        UsageError: it is not one SELECT, or DuckDB refuses it.
    """
    with engine.clone_connection().open_connection(log="r", state="r", spatial=True) as connection:
        select = validate_select(connection, query)
        Revision(connection, position)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            yield connection, select
        except duckdb.Error as error:
            tables = ", ".join(TABLES)
            raise UsageError(f"that SQL can't be run: {error}\nThe tables are {tables}.") from error


def run_user_query(engine: Database, query: str, position: int) -> pa.Table:
    """What a person's SELECT answers over the tables of a revision, as Arrow. See `asked`."""
    with open_user_query(engine, query, position) as (connection, select):
        return connection.execute(select).to_arrow_table()


def list_classes(revision: Revision) -> Table:
    """The classes with their values, and how many features have each."""
    return Table(revision.fetch_arrow(_CLASSES.read_text()))


def find_related_ids(
    revision: Revision, given: Literal["feature", "raster"], ids: Sequence[str], *, containing_only: bool
) -> dict[str, list[Any]]:
    """For each of `ids`, what the graph joins it to: rasters of features, or features of rasters; in one query.

    Raises:
        NotFoundError: an id is not there at this revision.
    """
    asked = list(dict.fromkeys(ids))
    _ask(revision, given, asked)
    other = "raster" if given == "feature" else "feature"
    # The keys are joined before the names, so that 100,000 ids cost one pass over the edges.
    pairs = revision.fetch_arrow(
        f"SELECT place, o.{other}_id{'::BIGINT' if other == 'feature' and _integer_ids(revision) else ''} AS other "  # noqa: S608
        f"FROM asked_{given} JOIN edge_now USING ({given}_key) "
        f"JOIN (SELECT {other}_key, {other}_id FROM {other}_now) AS o USING ({other}_key) "
        f"WHERE contains OR NOT $containing_only ORDER BY place, {other}_key",
        {"containing_only": containing_only},
    )
    return dict(zip(asked, _grouped(pairs, len(asked)), strict=True))


def _grouped(pairs: pa.Table, count: int) -> list[list[Any]]:
    """For each place below `count` the others that `pairs`, sorted by place, join to it; a name is one object."""
    import numpy as np

    encoded = pairs["other"].combine_chunks().dictionary_encode()
    names = np.array(encoded.dictionary.to_pylist(), dtype=object)
    flat = names[encoded.indices.to_numpy()].tolist()
    ends = np.cumsum(np.bincount(pairs["place"].to_numpy(), minlength=count)).tolist()
    return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _ask(revision: Revision, subject: Literal["feature", "raster"], ids: Sequence[str]) -> None:
    """Make the temporary table `asked_feature` or `asked_raster`: each of `ids` once, with its place and its key.

    Raises:
        NotFoundError: an id is not there at this revision.
    """
    import pyarrow as pa

    names = pa.array(list(dict.fromkeys(ids)), pa.string())
    revision.connection.register("asked", pa.table({"id": names, "place": pa.array(range(len(names)), pa.int64())}))
    revision.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE asked_{subject} AS SELECT id, place, {subject}_key FROM asked "  # noqa: S608
        f"LEFT JOIN (SELECT {subject}_key, {subject}_id FROM {subject}_now) ON id = {subject}_id"
    )
    revision.connection.unregister("asked")
    unknown = revision.fetch_rows(f"SELECT id FROM asked_{subject} WHERE {subject}_key IS NULL ORDER BY id")  # noqa: S608
    if unknown:
        raise NotFoundError(
            f"no {subject} {quote_names([row[0] for row in unknown])} at @{revision.position}: see geographer {subject}s"
        )


def _integer_ids(revision: Revision) -> bool:
    return bool(revision.fetch_value("SELECT bool_and(id_is_integer) FROM feature_now"))
