"""A revision that is open for reading: its tables as views, with user columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import duckdb

from geographer.storage.database.connection import Database, escape_literal, quote_identifier
from geographer.storage.database.sql_sandbox import validate_expression
from geographer.storage.events.row_tables import make_json_path
from geographer.storage.log.chain import create_chain_view, create_chain_views
from geographer.storage.queries.content_digest import CONTENT_VIEWS, compute_content_digest

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
_STATEMENT: Final = re.compile(r"^CREATE OR REPLACE TEMP (?:VIEW|MACRO) (\w+).*?;$", re.DOTALL | re.MULTILINE)
_WORD: Final = re.compile(r"\w+")
_SPATIAL: Final = re.compile(r"\bST_", re.IGNORECASE)


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

_TABLE_VIEWS: Final = {
    **{name: name for name in SORTED_VIEWS if name != "splits"},
    **{view.source: name for name, view in SORTED_VIEWS.items() if name != "splits"},
}
"""The names of the views that depend on the revision's rows, each with its table."""


class Revision:
    """The revision at `position` on an open connection, with a view for each of `TABLES`.

    Creating all views takes as long as many queries. So `fetch_rows` and its like create those that a query names, and
    load the spatial functions if it calls one; `connection` has all of them. Other code may create temporary tables
    there.

    Attributes:
        plain_connection: The connection for queries of log and state alone, which may lack views and spatial functions.
        position: The position of the revision.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        position: int,
        load_functions: Callable[[], object] | None = None,
    ) -> None:
        """Use a connection with log and state.

        `load_functions` loads the spatial functions; without it, the connection has them, and all views are created.
        """
        self.plain_connection = connection
        self.position = position
        self._load_functions = load_functions
        connection.execute("SET VARIABLE position = $position", {"position": position})
        self._views = _VIEWS.setdefault(connection, {})
        self._file_paths = ("path", "path")
        if load_functions is None:
            self.create_views()

    def _open_all_views(self) -> duckdb.DuckDBPyConnection:
        """The connection, with all views and the spatial functions."""
        self.create_views()
        return self.plain_connection

    connection = cached_property(_open_all_views)

    def create_views(self) -> None:
        """Create all views, and load the spatial functions."""
        create_chain_views(self.plain_connection)
        self._load_spatial()
        for name in (*read_view_statements(), *_TABLE_VIEWS):
            self._create_named_view(name)

    def show_position(self, position: int) -> Revision:
        """Return the revision at another position on the same connection, which shows that one from then on."""
        return Revision(self.plain_connection, position, self._load_functions)

    @cached_property
    def feature_id_type(self) -> str:
        """BIGINT if all features have integer ids, otherwise VARCHAR."""
        has_integer_ids = self.fetch_value("SELECT coalesce(bool_and(id_is_integer), false) FROM current_feature")
        return "BIGINT" if has_integer_ids else "VARCHAR"

    @cached_property
    def _object_id_type(self) -> str:
        has_integers = self.feature_id_type == "BIGINT" and not self.fetch_value(_NON_INTEGER_OBJECT)
        return "BIGINT" if has_integers else "VARCHAR"

    def _load_spatial(self) -> None:
        if self._load_functions is not None:
            self._load_functions()

    def run_query(self, query: str, parameters: dict[str, Any] | None = None) -> duckdb.DuckDBPyConnection:
        """Run a query, with the views that it names, and return the connection, which has the result."""
        return self.prepare_connection(query).execute(query, parameters)

    def prepare_connection(self, query: str, *, spatial: bool = False) -> duckdb.DuckDBPyConnection:
        """Return the connection with the views that a query names, and the spatial functions if it calls one."""
        self._create_views_of(query)
        if spatial:
            self._load_spatial()
        return self.plain_connection

    def _create_views_of(self, query: str) -> None:
        if _SPATIAL.search(query):
            self._load_spatial()
        for name in dict.fromkeys(_WORD.findall(query)):
            self._create_named_view(name)

    def _create_named_view(self, name: str) -> None:
        """Create the view or macro of a name, after those that it uses, unless it exists."""
        if name.startswith("chain_"):
            create_chain_view(self.plain_connection, name)
        elif name not in self._views and (statement := read_view_statements().get(name)):
            self._views[name] = statement
            self._create_views_of(statement)
            self.plain_connection.execute(statement)
        elif table := _TABLE_VIEWS.get(name):
            self._create_table_view(table)

    def locate_files(self, workspace_position: int | None, find_cache_folder: Callable[[], str]) -> None:
        """Make `path` in `rasters` and `labels`, which is the recorded one, lead to the bytes of this revision.

        A file that the workspace does not show, which is at `workspace_position`, has the path of the object in DVC's
        cache; one that was withdrawn has none. `find_cache_folder` is called if the cache is needed.
        """
        self.plain_connection.execute("SET VARIABLE workspace_position = $position", {"position": workspace_position})
        raster_path, label_path = "path", "path"
        if workspace_position != self.position and self.fetch_value("SELECT true FROM hidden_file LIMIT 1"):
            self.plain_connection.execute("SET VARIABLE cache_folder = $folder", {"folder": find_cache_folder()})
            raster_path, label_path = "if(storage = 'dvc', locate_file(path, md5), path)", "locate_file(path, md5)"
        if self._has_withdrawn_rasters():
            raster_path = f"if(storage = 'dvc' AND md5 IN (SELECT md5 FROM state.withdrawn_file), NULL, {raster_path})"  # noqa: S608
        if raster_path != "path":
            self._file_paths = (raster_path, label_path)
            if self._load_functions is None or "connection" in self.__dict__:
                self._create_views_of("rasters labels")

    def _has_withdrawn_rasters(self) -> bool:
        has_table = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'state' AND table_name = 'withdrawn_file'"
        query = (
            "SELECT true FROM current_raster SEMI JOIN state.withdrawn_file USING (md5) WHERE storage = 'dvc' LIMIT 1"
        )
        return bool(self.fetch_rows(has_table) and self.fetch_rows(query))

    def fetch_rows(self, query: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a query and return its rows as tuples."""
        return self.run_query(query, parameters).fetchall()

    def fetch_arrow(self, query: str, parameters: dict[str, Any] | None = None) -> pa.Table:
        """Run a query and return its rows as an Arrow table."""
        return self.run_query(query, parameters).to_arrow_table()

    def fetch_value(self, query: str, parameters: dict[str, Any] | None = None) -> Any:
        """Run a query and return the first column of its first row, or None without rows."""
        row = self.run_query(query, parameters).fetchone()
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
        self._load_spatial()
        return validate_expression(
            self.plain_connection, expression, [*self.list_columns(table), *extra_columns], option
        )

    def compute_content_digest(self) -> str:
        """Return the digest of the revision's content, whatever its history, in hex; see `content_digest.sql`."""
        self._create_views_of(" ".join(CONTENT_VIEWS))
        return compute_content_digest(self.plain_connection)

    def compute_merkle_root(self) -> str:
        """Return the root of the Merkle tree over what the content digest covers, in hex. See `merkle_root.sql`."""
        return str(self.fetch_value((_FOLDER / "merkle_root.sql").read_text()))

    def _create_table_view(self, table: str) -> None:
        """Create the views of a table with user columns, ids in their type, or paths of files."""
        columns, tables = getattr(self, f"_select_{table}")()
        view, body = SORTED_VIEWS[table], f"SELECT {columns} FROM {tables}"  # noqa: S608
        if self._views.get(table) == body:
            return
        self._views[table] = body
        self._create_views_of(body)
        self.plain_connection.execute(f"CREATE OR REPLACE TEMP VIEW {view.source} AS {body}")
        ordered = f"SELECT *{view.exclude} FROM {view.source}{view.order_by}"  # noqa: S608
        self.plain_connection.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS {ordered}")

    def _select_features(self) -> tuple[str, str]:
        """Return the columns of `features` and what they are read from; the other methods do for other tables."""
        user_columns = self._select_user_columns("feature", {"feature_id", "class", "geometry"})
        feature_id = f"feature_id::{self.feature_id_type} AS feature_id"
        return f"{feature_id}, class, geometry{user_columns}, feature_key AS {KEY_COLUMN}", "current_feature"

    def _select_rasters(self) -> tuple[str, str]:
        columns = "crs, width, height, md5, sha256, pixel_digest, footprint, acquired"
        reserved = {"raster_id", "collection", "path", *columns.split(", ")}
        columns += self._select_user_columns("raster", reserved)
        first = f"raster_id, collection, {_SHOWN_PATH.format(self._file_paths[0])} AS path"
        return f"{first}, {columns}, raster_key AS {KEY_COLUMN}", "current_raster"

    def _select_labels(self) -> tuple[str, str]:
        return f"label, raster_id, {self._file_paths[1]} AS path, md5", "current_label"

    def _select_chips(self) -> tuple[str, str]:
        columns = f'raster_id, parent_id, col, "row", width, height, raster_key AS {KEY_COLUMN}'
        return columns, "current_raster WHERE parent_id IS NOT NULL"

    def _select_edges(self) -> tuple[str, str]:
        feature_id = f"feature_id::{self.feature_id_type} AS feature_id"
        columns = (
            f"{feature_id}, raster_id, if(contains, 'contains', 'intersects') AS relation, feature_key, raster_key"
        )
        return columns, (
            "current_edge JOIN (SELECT feature_key, feature_id FROM current_feature) USING (feature_key) "
            "JOIN (SELECT raster_key, raster_id FROM current_raster) USING (raster_key)"
        )

    def _select_objects(self) -> tuple[str, str]:
        feature_id = f"feature_id::{self._object_id_type} AS feature_id"
        columns = f"label, raster_id, {feature_id}, class, instance, pixels, box, corners, visible"
        return columns, "current_label_object"

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


@cache
def read_view_statements() -> dict[str, str]:
    """Return the statements of `views.sql` by the name of the view or macro that each creates."""
    script = (_FOLDER / "views.sql").read_text()
    return {match[1]: match[0] for match in _STATEMENT.finditer(script)}


@contextmanager
def open_revision(database: Database, position: int) -> Iterator[Revision]:
    """Yield the revision at `position`, which must be in the state."""
    with database.open_connection(log="r", state="r") as connection:
        yield Revision(connection, position, partial(_load_functions, database))


def _load_functions(database: Database) -> None:
    """Load the spatial functions, unless the connection has them."""
    with database.open_connection(spatial=True):
        pass
