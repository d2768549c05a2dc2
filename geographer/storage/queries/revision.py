"""One revision, open for reading: its tables as views, with a person's own columns beside ours."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import NotFoundError, UsageError
from geographer.storage.database.connection import escape_literal, quote_identifier, run_script
from geographer.storage.database.sql_sandbox import validate_expression

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb
    import pyarrow as pa

    from geographer.storage.database.connection import Database

_FOLDER: Final = Path(__file__).parent
_TYPES: Final = frozenset({"BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMP"})

TABLES: Final = ("features", "rasters", "edges", "chips", "labels", "objects", "splits", "events", "tags", "classes")
"""The tables of a revision, by the names that SQL, the command line and Python share."""

_ALIEN_OBJECT: Final = "SELECT 1 FROM label_object_now WHERE TRY_CAST(feature_id AS BIGINT) IS NULL LIMIT 1"
"""An object that an older label lists, of a feature from a time when ids were no integers."""

GEOMETRY_OF: Final = {"features": "geometry", "rasters": "footprint"}
"""Which column of a table is a geometry in longitude/latitude (EPSG:4326, x before y)."""

KEY: Final = '"(key)"'
"""What the key of a feature or raster is called beside a person's own columns; no column is called so by chance."""

ORDERED: Final = {
    **{
        name: (f"{name}_unordered", f" EXCLUDE ({KEY})", f" ORDER BY {KEY}")
        for name in ("features", "rasters", "chips")
    },
    "edges": ("edges_unordered", " EXCLUDE (feature_key, raster_key)", " ORDER BY feature_key, raster_key"),
    "labels": ("labels", "", " ORDER BY label, raster_id"),
    "objects": ("objects_unordered", "", " ORDER BY label, raster_id, instance, feature_id::VARCHAR"),
    "splits": ("splits", "", " ORDER BY split, raster_id"),
}
"""For tables that can be narrowed down: the same with keys and without order, what hides the keys, and the order."""


class Revision:
    """A revision of the dataset on an open connection: `position`, and views named as in `TABLES`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, position: int) -> None:
        self.connection = connection
        self.position = position
        connection.execute("SET VARIABLE position = $position", {"position": position})
        run_script(connection, (_FOLDER / "views.sql").read_text())
        self._define_own_views()

    def fetch_rows(self, query: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query over the views."""
        return self.connection.execute(query, parameters).fetchall()

    def fetch_arrow(self, query: str, parameters: dict[str, Any] | None = None) -> pa.Table:
        """The same as an Arrow table."""
        return self.connection.execute(query, parameters).to_arrow_table()

    def fetch_value(self, query: str, parameters: dict[str, Any] | None = None) -> Any:
        """The single value of a query that has one."""
        row = self.connection.execute(query, parameters).fetchone()
        return row[0] if row else None

    def list_columns(self, table: str) -> list[str]:
        """The columns of one of the tables, a person's own after ours."""
        return [row[0] for row in self.fetch_rows(f"DESCRIBE {quote_identifier(table)}")]

    def validate_filter(
        self, table: str, expression: str | None, option: str = "--where", to_come: Iterable[str] = ()
    ) -> str:
        """A person's filter over `table` and columns `to_come`, given as `option`, checked; `true` if there is none."""
        if expression is None:
            return "true"
        return validate_expression(self.connection, expression, [*self.list_columns(table), *to_come], option)

    def compute_content_digest(self) -> str:
        """The identity of this state, whatever its history; in hex. See `content_digest.sql`."""
        return str(self.fetch_value((_FOLDER / "content_digest.sql").read_text()))

    def require_collection(self, name: str) -> None:
        """Raise `NotFoundError` unless rasters, or a recipe that makes them, go or went by that collection name."""
        known = {
            row[0]
            for row in self.fetch_rows(
                "SELECT DISTINCT collection FROM state.raster WHERE valid_from <= $at", {"at": self.position}
            )
        }
        known |= {row[0] for row in self.fetch_rows("SELECT name FROM recipes WHERE kind LIKE 'cut%'")}
        known |= {
            row[0] for row in self.fetch_rows("SELECT parameters->>'$.into' FROM recipes WHERE kind = 'download'")
        }
        if name not in known:
            names = ", ".join(sorted(known)) or "none yet"
            raise NotFoundError(f"no collection '{name}': there are {names}")

    def require_pixels(self, name: str) -> None:
        """Raise unless the collection `name` is known, and its rasters are more than footprints.

        Raises:
            NotFoundError: it is not known.
            UsageError: they are a catalogue.
        """
        self.require_collection(name)
        catalogued = "SELECT bool_and(storage = 'catalogue') FROM raster_now WHERE collection = $name"
        if self.fetch_value(catalogued, {"name": name}):
            raise UsageError(f"the rasters of '{name}' are footprints without pixels: name a collection of files")

    def _define_own_views(self) -> None:
        integers = self.fetch_value("SELECT coalesce(bool_and(id_is_integer), false) FROM feature_now")
        feature_id = "feature_id::BIGINT" if integers else "feature_id"
        own = self._own_columns("feature", {"feature_id", "class", "geometry"})
        self._view(
            "features",
            f"{feature_id} AS feature_id, class, geometry{own}, feature_key AS {KEY} FROM feature_now",
        )
        ours = "raster_id, collection, path, crs, width, height, md5, sha256, pixel_digest, footprint, acquired"
        chip = 'raster_id, parent_id, col, "row", width, height'
        own = self._own_columns("raster", set(ours.split(", ")))
        self._view("rasters", f"{ours}{own}, raster_key AS {KEY} FROM raster_now")
        self._view("chips", f"{chip}, raster_key AS {KEY} FROM raster_now WHERE parent_id IS NOT NULL")
        self._view(
            "edges",
            f"{feature_id} AS feature_id, raster_id, if(contains, 'contains', 'intersects') AS relation, "  # noqa: S608
            "feature_key, raster_key FROM edge_now "
            "JOIN (SELECT feature_key, feature_id FROM feature_now) USING (feature_key) "
            "JOIN (SELECT raster_key, raster_id FROM raster_now) USING (raster_key)",
        )

        known = "feature_id::BIGINT" if integers and not self.fetch_value(_ALIEN_OBJECT) else "feature_id"
        self._view(
            "objects",
            f"label, raster_id, {known} AS feature_id, class, instance, pixels, box, corners, visible "
            "FROM label_object_now",
        )

    def _view(self, name: str, body: str) -> None:
        source, hidden, order = ORDERED[name]
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW {source} AS SELECT {body}")
        ordered = f"SELECT *{hidden} FROM {source}{order}"  # noqa: S608
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {ordered}")

    def _own_columns(self, subject: str, taken: set[str]) -> str:
        """The select list of a person's own columns; one that came with two types is read as text."""
        rows = self.fetch_rows(
            (_FOLDER / "user_columns.sql").read_text(), {"subject": subject, "position": self.position}
        )
        return "".join(
            f", (properties->>'{escape_literal(json_path(name))}')::{_one_type(types)} AS {quote_identifier(name)}"
            for name, types in rows
            if name not in taken
        )


def _one_type(types: list[str]) -> str:
    known = set(types) & _TYPES
    if known == {"BIGINT", "DOUBLE"}:
        return "DOUBLE"
    return known.pop() if len(known) == len(types) == 1 else "VARCHAR"


def json_path(name: str) -> str:
    """The path of one of a person's own columns in `properties`."""
    escaped = name.replace('"', '\\"')
    return f'$."{escaped}"'


@contextmanager
def open_revision(engine: Database, position: int, *, spatial: bool = True) -> Iterator[Revision]:
    """The revision at `position`, for as long as the block lasts."""
    with engine.open_connection(log="r", state="r", spatial=spatial) as connection:
        yield Revision(connection, position)
