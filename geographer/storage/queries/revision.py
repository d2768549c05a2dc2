"""A revision that is open for reading: its tables as views, with user columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import duckdb

from geographer.storage.database.connection import Database, escape_literal, quote_identifier, run_script
from geographer.storage.database.sql_sandbox import validate_expression
from geographer.storage.events.row_tables import make_json_path
from geographer.storage.log.chain import create_chain_views
from geographer.storage.queries.content_digest import compute_content_digest

if TYPE_CHECKING:
    import pyarrow as pa

_FOLDER: Final = Path(__file__).parent
_USER_TYPES: Final = frozenset({"BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMP"})

TABLES: Final = ("features", "rasters", "edges", "chips", "labels", "objects", "splits", "events", "tags", "classes")
"""The tables of a revision, by their names in SQL, on the command line and in Python."""

_USER_COLUMNS: Final = (
    "SELECT subject, name, type FROM state.user_column WHERE position <= $position ORDER BY position, ordinal"
)
"""The records of user columns, oldest first; one without a type drops the column."""

_NON_INTEGER_OBJECT: Final = "SELECT 1 FROM current_label_object WHERE TRY_CAST(feature_id AS BIGINT) IS NULL LIMIT 1"
"""Finds label objects whose feature id is not an integer: labels may be older than the present features."""

GEOMETRY_COLUMNS: Final = {"features": "geometry", "rasters": "footprint"}
"""The column of a table that is a geometry in longitude/latitude (EPSG:4326, x before y)."""

KEY_COLUMN: Final = '"(key)"'
"""The name of the key column in views that have user columns; parentheses keep it distinct from those."""

_VIEWS: Final[WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[str, str]]] = WeakKeyDictionary()
"""The SQL of each connection's views by name: the next revision keeps equal ones, because creating all costs 30 ms."""
_SHOWN_PATH: Final = "CASE storage WHEN 'remote' THEN path->>'$.url' WHEN 'virtual' THEN NULL ELSE {} END"
"""SQL for the path that users see: a remote raster has a URL, a virtual chip no file."""


class SortedView(NamedTuple):
    """How to select from a table in its order: the view without order, whose key columns `exclude` removes again."""

    source: str
    exclude: str = ""
    order_by: str = ""


_WITH_KEY: Final = (f" EXCLUDE ({KEY_COLUMN})", f" ORDER BY {KEY_COLUMN}")
SORTED_VIEWS: Final = {
    **{name: SortedView(f"{name}_unordered", *_WITH_KEY) for name in ("features", "rasters", "chips")},
    "edges": SortedView("edges_unordered", " EXCLUDE (feature_key, raster_key)", " ORDER BY feature_key, raster_key"),
    "labels": SortedView("labels_unordered", order_by=" ORDER BY label, raster_id"),
    "objects": SortedView("objects_unordered", order_by=" ORDER BY label, raster_id, instance, feature_id::VARCHAR"),
    "splits": SortedView("splits", order_by=" ORDER BY split, raster_id"),
}
"""The tables that can be filtered."""


class Revision:
    """The revision at `position` on an open connection, with a view for each of `TABLES`.

    Other code may create temporary tables on the connection. `feature_id_type` is BIGINT if all features have integer
    ids, otherwise VARCHAR.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, position: int) -> None:
        self.connection = connection
        self.position = position
        connection.execute("SET VARIABLE position = $position", {"position": position})
        self._views = _VIEWS.setdefault(connection, {})
        if not self._views:
            create_chain_views(connection)
            run_script(connection, (_FOLDER / "views.sql").read_text())
        self._create_views()

    def locate_files(self, workspace_position: int | None, find_cache_folder: Callable[[], str]) -> None:
        """Make `path` in `rasters` and `labels`, which is the recorded one, lead to the bytes of this revision.

        A file that the workspace does not show, which is at `workspace_position`, has the path of the object in DVC's
        cache; one that was withdrawn has none. `find_cache_folder` is called if the cache is needed.
        """
        self.connection.execute("SET VARIABLE workspace_position = $position", {"position": workspace_position})
        raster_path, label_path = "path", "path"
        if workspace_position != self.position and self.fetch_value("SELECT true FROM hidden_file LIMIT 1"):
            self.connection.execute("SET VARIABLE cache_folder = $folder", {"folder": find_cache_folder()})
            raster_path, label_path = "if(storage = 'dvc', locate_file(path, md5), path)", "locate_file(path, md5)"
        if self._has_withdrawn_rasters():
            raster_path = f"if(storage = 'dvc' AND md5 IN (SELECT md5 FROM state.withdrawn_file), NULL, {raster_path})"  # noqa: S608
        if raster_path != "path":
            self._create_file_views(raster_path, label_path)

    def _has_withdrawn_rasters(self) -> bool:
        has_table = "FROM duckdb_tables() WHERE database_name = 'state' AND table_name = 'withdrawn_file'"
        query = (
            "SELECT true FROM current_raster SEMI JOIN state.withdrawn_file USING (md5) WHERE storage = 'dvc' LIMIT 1"
        )
        return bool(self.fetch_rows(has_table) and self.fetch_rows(query))

    def fetch_rows(self, query: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a query and return its rows as tuples."""
        return self.connection.execute(query, parameters).fetchall()

    def fetch_arrow(self, query: str, parameters: dict[str, Any] | None = None) -> pa.Table:
        """Run a query and return its rows as an Arrow table."""
        return self.connection.execute(query, parameters).to_arrow_table()

    def fetch_value(self, query: str, parameters: dict[str, Any] | None = None) -> Any:
        """Run a query and return the first column of its first row, or None without rows."""
        row = self.connection.execute(query, parameters).fetchone()
        return row[0] if row else None

    def list_columns(self, table: str) -> list[str]:
        """Return the columns of a table, user columns last."""
        return [*self.describe_columns(table)]

    def describe_columns(self, table: str) -> dict[str, str]:
        """Return the types of the columns of a table, user columns last."""
        return {row[0]: row[1] for row in self.fetch_rows(f"DESCRIBE {quote_identifier(table)}")}

    def list_user_columns(self, subject: str) -> dict[str, str]:
        """Return the user columns of 'feature' or 'raster' with types that hold the values of all events."""
        return {name: choose_common_type(types) for name, types in self._recorded_types.get(subject, {}).items()}

    @cached_property
    def _recorded_types(self) -> dict[str, dict[str, list[str]]]:
        """The types of each user column by subject and name, in the order of its first record since it was dropped.

        SQL with window functions would take 7 ms, which is much of what opening a revision takes.
        """
        columns: dict[str, dict[str, list[str]]] = {}
        for subject, name, recorded_type in self.fetch_rows(_USER_COLUMNS, {"position": self.position}):
            types = columns.setdefault(subject, {})
            if recorded_type is None:
                types.pop(name, None)
            elif recorded_type not in types.setdefault(name, []):
                types[name].append(recorded_type)
        return columns

    def validate_filter(
        self, table: str, expression: str | None, option: str = "--where", extra_columns: Iterable[str] = ()
    ) -> str:
        """Return the condition of a user's filter over a table's and `extra_columns`; `true` if there is no filter."""
        if expression is None:
            return "true"
        return validate_expression(self.connection, expression, [*self.list_columns(table), *extra_columns], option)

    def compute_content_digest(self) -> str:
        """Return the digest of the revision's content, whatever its history, in hex; see `content_digest.sql`."""
        return compute_content_digest(self.connection)

    def compute_merkle_root(self) -> str:
        """Return the root of the Merkle tree over what the content digest covers, in hex. See `merkle_root.sql`."""
        return str(self.fetch_value((_FOLDER / "merkle_root.sql").read_text()))

    def _create_views(self) -> None:
        has_integer_ids = self.fetch_value("SELECT coalesce(bool_and(id_is_integer), false) FROM current_feature")
        self.feature_id_type = "BIGINT" if has_integer_ids else "VARCHAR"
        feature_id = f"feature_id::{self.feature_id_type} AS feature_id"
        has_integer_objects = has_integer_ids and not self.fetch_value(_NON_INTEGER_OBJECT)
        object_feature_id = f"feature_id::{'BIGINT' if has_integer_objects else 'VARCHAR'} AS feature_id"
        user_columns = self._select_user_columns("feature", {"feature_id", "class", "geometry"})
        columns = f"{feature_id}, class, geometry{user_columns}, feature_key AS {KEY_COLUMN}"
        self._create_view("features", columns, "current_feature")
        self._create_file_views()
        columns = f'raster_id, parent_id, col, "row", width, height, raster_key AS {KEY_COLUMN}'
        self._create_view("chips", columns, "current_raster WHERE parent_id IS NOT NULL")
        self._create_view(
            "edges",
            f"{feature_id}, raster_id, if(contains, 'contains', 'intersects') AS relation, feature_key, raster_key",
            "current_edge JOIN (SELECT feature_key, feature_id FROM current_feature) USING (feature_key) "
            "JOIN (SELECT raster_key, raster_id FROM current_raster) USING (raster_key)",
        )
        columns = f"label, raster_id, {object_feature_id}, class, instance, pixels, box, corners, visible"
        self._create_view("objects", columns, "current_label_object")

    def _create_file_views(self, raster_path: str = "path", label_path: str = "path") -> None:
        columns = "crs, width, height, md5, sha256, pixel_digest, footprint, acquired"
        reserved = {"raster_id", "collection", "path", *columns.split(", ")}
        shown_path, own_columns = _SHOWN_PATH.format(raster_path), self._select_user_columns("raster", reserved)
        columns = f"raster_id, collection, {shown_path} AS path, {columns}{own_columns}"
        self._create_view("rasters", f"{columns}, raster_key AS {KEY_COLUMN}", "current_raster")
        self._create_view("labels", f"label, raster_id, {label_path} AS path, md5", "current_label")

    def _create_view(self, name: str, columns: str, tables: str) -> None:
        view, body = SORTED_VIEWS[name], f"SELECT {columns} FROM {tables}"  # noqa: S608
        if self._views.get(name) == body:
            return
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW {view.source} AS {body}")
        ordered = f"SELECT *{view.exclude} FROM {view.source}{view.order_by}"  # noqa: S608
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {ordered}")
        self._views[name] = body

    def _select_user_columns(self, subject: str, reserved: set[str]) -> str:
        """Return the select list of the user columns of features or rasters, without `reserved` names."""
        columns = {name: kind for name, kind in self.list_user_columns(subject).items() if name not in reserved}
        return "".join(
            f", {column.value_sql}::{column.type} AS {quote_identifier(column.name)}"
            for column in combine_user_columns(columns)
        )


class CombinedColumn(NamedTuple):
    """A user column of a table: its name, its type, and SQL for the text of its value in `properties`."""

    name: str
    type: str
    value_sql: str


def combine_user_columns(columns: Mapping[str, str]) -> list[CombinedColumn]:
    """Return the columns that tables show: those whose names differ only in case, which SQL takes for one, are one.

    Its name is that of the first, its value that of any. `columns` are names and types.
    """
    groups: dict[str, list[str]] = {}
    for name in columns:
        groups.setdefault(name.lower(), []).append(name)
    combined = []
    for names in groups.values():
        values = [f"(properties->>'{escape_literal(make_json_path(name))}')" for name in names]
        value = f"coalesce({', '.join(values)})" if len(values) > 1 else values[0]
        combined.append(CombinedColumn(names[0], choose_common_type([columns[name] for name in names]), value))
    return combined


def choose_common_type(types: list[str]) -> str:
    """Return the type of a user column that was recorded with `types`: text, unless they agree or are numbers."""
    usable = set(types) & _USER_TYPES
    if usable == {"BIGINT", "DOUBLE"}:
        return "DOUBLE"
    return usable.pop() if len(usable) == len(types) == 1 else "VARCHAR"


@contextmanager
def open_revision(database: Database, position: int, *, spatial: bool = True) -> Iterator[Revision]:
    """Yield the revision at `position`, which must be in the state."""
    with database.open_connection(log="r", state="r", spatial=spatial) as connection:
        yield Revision(connection, position)
