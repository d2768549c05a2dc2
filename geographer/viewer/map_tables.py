"""Map tables: the features and rasters of all revisions of a chain in map coordinates, in memory, and tiles of them.

Tiles and lists read these tables, so that they hold no lock of the dataset, and moving to another revision costs
nothing: each row has the positions at which it is valid.
"""

from __future__ import annotations

import math
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cache
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import NotFoundError
from geographer.storage.database.connection import Database, open_cursor, register_table, run_script
from geographer.storage.database.query_limits import limit_time
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.queries.revision import KEY_COLUMN, open_revision
from geographer.storage.queries.selection import TableFilter, build_selection
from geographer.viewer.map_selection import MapSelection

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Box = tuple[float, float, float, float]
"""West, south, east and north in degrees; west exceeds east if the box crosses the antimeridian."""

MEMORY_LIMIT_GB: Final = 2
"""So much memory the tables take; what does not fit is in a temporary folder."""
MAX_TILE_OBJECTS: Final = 4_000
"""A tile with more objects shows how many there are in each cell."""
MAX_ZOOM: Final = 22
_TILE_PIXELS: Final = 512
_VISIBLE_PIXELS: Final = 3.0
_LARGE_PIXELS: Final = 48.0
_MARK_PIXELS: Final = (32.0, 100.0)
"""An outline of a size between these has the mark of its kind in its middle, which does not hide it."""
_MAX_LARGE_SHAPES: Final = 300
_CELLS: Final = 8
_FINE_CELLS: Final = 8
"""A tile has 8 by 8 cells with numbers, and each of them 8 by 8 fine ones, which show where the objects are."""
_FILTER_TIMEOUT_S: Final = 20.0
_KEPT_TABLES: Final = 24
_KEPT_SUMMARIES: Final = 200
_ID_COLUMNS: Final = {"features": "feature_id", "rasters": "raster_id"}
_TABLES: Final = {"features": "feature", "rasters": "raster"}
_COLOURS: Final = {
    "collection": "collection",
    "subset": "coalesce(subset, '')",
    "component": "coalesce((component % 8)::VARCHAR, '')",
}


class SourceQuery(NamedTuple):
    """A query for objects in map coordinates, and the values of its parameters."""

    sql: str
    parameters: dict[str, Any]


class ListedObject(NamedTuple):
    """An object of a list.

    `place` is a point of it and `box` the box around it, in degrees, longitude first; both are None off the map.
    """

    id: str
    kind: str
    subset: str | None
    parent_id: str | None
    place: tuple[float, float] | None
    box: Box | None


class SelectionSummary(NamedTuple):
    """What a selection has.

    Attributes:
        kinds: The number of objects of each kind, by falling number.
        number: How many objects it has.
        beyond: How many of them no map shows.
        box: The box around the others, in degrees; None without any.
    """

    kinds: dict[str, int]
    number: int
    beyond: int
    box: Box | None


class MapTables:
    """The tables of one chain up to the position `head`; any thread may read them."""

    def __init__(
        self, database: Database, head: int, number: int, wait_for_turn: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """Name the tables of the `number`-th reading of a chain; `fill_tables` fills them.

        `wait_for_turn` lets no other thread read the dataset's files meanwhile.
        """
        self.head, self._wait_for_turn = head, wait_for_turn
        self._database, self._schema = database, f"map_{number}"
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._staged: OrderedDict[tuple[Any, ...], str] = OrderedDict()
        self._staging = RLock()
        self._summaries: dict[MapSelection, SelectionSummary] = {}
        self._next_table = 0

    def fill_tables(self) -> None:
        """Copy all versions from the state, which is locked meanwhile."""
        script = _read_sql("map_tables").format(schema=self._schema)
        with self._wait_for_turn(), self._database.open_connection(log="r", state="r", spatial=True) as connection:
            run_script(connection, script)
            self._connection = open_cursor(connection)

    def drop_tables(self) -> None:
        """Free the memory."""
        with self._open_cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE")

    def require_position(self, position: int) -> int:
        """Return a position, which must be in the chain; else `NotFoundError`."""
        if not 1 <= position <= self.head:
            raise NotFoundError(f"no revision @{position}: the head is @{self.head}. Choose an earlier one.")
        return position

    def read_tile(self, selection: MapSelection, zoom: int, column: int, row: int) -> bytes:
        """Return a vector tile of Web Mercator (z/x/y) in the format MVT 2.

        It has the layers `shapes` and `dots`, or if there are too many objects, `cells`, `density` and the largest of
        the shapes. Each object has `id` and `kind`; a cell has `number`, the most frequent `kind`, and one `id`.
        """
        size = _measure_tile(zoom, column, row)
        tile = {"west": column * size, "north": row * size, "east": (column + 1) * size, "south": (row + 1) * size}
        source = self._make_source(selection)
        with self._open_cursor() as cursor:

            def read_layers(name: str, **values: Any) -> tuple[Any, ...]:
                query = _read_sql(name).format(source=source.sql)
                return cursor.execute(query, {**source.parameters, **tile, **values}).fetchone() or ()

            (number,) = read_layers("tile_count")
            if number > MAX_TILE_OBJECTS:
                large = size * _LARGE_PIXELS / _TILE_PIXELS
                layers = read_layers("tile_shapes", min_size=large, limit=_MAX_LARGE_SHAPES)
                layers += read_layers("tile_cells", cells=_CELLS, ratio=_FINE_CELLS)
            else:
                visible = size * _VISIBLE_PIXELS / _TILE_PIXELS
                layers = read_layers("tile_shapes", min_size=visible, limit=MAX_TILE_OBJECTS)
                lowest, highest = (size * pixels / _TILE_PIXELS for pixels in _MARK_PIXELS)
                layers += read_layers("tile_dots", min_size=visible, min_mark=lowest, max_mark=highest)
        return b"".join(bytes(layer) for layer in layers if layer)

    def count_kinds(self, selection: MapSelection) -> dict[str, int]:
        """Return how many objects of each kind a selection has, by falling number."""
        query = "SELECT kind, count(*) AS number FROM ({}) GROUP BY kind ORDER BY number DESC, kind"
        return dict(self._fetch_rows(selection, query))

    def summarize_selection(self, selection: MapSelection) -> SelectionSummary:
        """Return the numbers of a selection and the box around it, which takes one scan; the last ones are kept."""
        if selection not in self._summaries:
            rows = self._fetch_rows(selection, _read_sql("selection_summary").replace("{source}", "{}"))
            while len(self._summaries) >= _KEPT_SUMMARIES:
                self._summaries.pop(next(iter(self._summaries)), None)
            self._summaries[selection] = _make_summary(rows)
        return self._summaries[selection]

    def count_objects(self, selection: MapSelection, box: Box | None = None) -> tuple[int, int]:
        """Return how many objects a selection has, in a box if one is given, and how many of them no map shows."""
        conditions, values = _make_box_conditions(box)
        query = f"SELECT count(*), count_if(is_beyond) FROM ({{}}) WHERE true {conditions}"  # noqa: S608
        number, beyond = self._fetch_rows(selection, query, values)[0]
        return int(number), int(beyond or 0)

    def find_box(self, selection: MapSelection) -> Box | None:
        """Return the box around what the map shows of a selection, in degrees; None if it shows nothing."""
        query = "SELECT min(x0), min(y0), max(x1), max(y1) FROM ({}) WHERE NOT is_beyond"
        west, north, east, south = self._fetch_rows(selection, query)[0]
        return None if west is None else _make_degrees_box(west, north, east, south)

    def list_objects(self, selection: MapSelection, box: Box | None, offset: int, limit: int) -> list[ListedObject]:
        """Return a page of the objects of a selection, in the order of addition."""
        conditions, values = _make_box_conditions(box)
        query = _read_sql("listed_rows").replace("{conditions}", conditions).replace("{source}", "{}")
        rows = self._fetch_rows(selection, query, {**values, "offset": offset, "limit": limit})
        return [_make_listed_object(*row) for row in rows]

    def find_object(self, subject: str, at: int, identity: str) -> ListedObject | None:
        """Return where an object of a revision is; None if the revision does not have it."""
        selection = MapSelection("features" if subject == "features" else "rasters", at)
        query = _read_sql("listed_rows").replace("{conditions}", "AND id = $id").replace("{source}", "{}")
        rows = self._fetch_rows(selection, query, {"id": identity, "offset": 0, "limit": 1})
        return _make_listed_object(*rows[0]) if rows else None

    def list_components(self, at: int, split: str, limit: int) -> list[dict[str, Any]]:
        """Return the staged components of a split's rasters by falling size: number, size, subsets, members, box."""
        name = self.find_staged(("components", at, split))
        assert name is not None, "the components are not staged"
        query = _read_sql("listed_components").format(schema=self._schema, components=name)
        with self._open_cursor() as cursor:
            rows = cursor.execute(query, {"at": at, "split": split, "limit": limit}).fetchall()
        names = ("component", "size", "total", "subsets", "members")
        return [
            {**dict(zip(names, row, strict=False)), "box": None if row[5] is None else _make_degrees_box(*row[5:9])}
            for row in rows
        ]

    def find_ids(self, at: int, text: str, limit: int) -> list[tuple[str, str, str]]:
        """Return the subject, id and kind of the objects of a revision whose ids have a text."""
        query = _read_sql("found_ids").format(schema=self._schema)
        with self._open_cursor() as cursor:
            return cursor.execute(query, {"at": at, "text": text, "limit": limit}).fetchall()

    def count_split(self, at: int, split: str) -> dict[str, int]:
        """Return how many rasters each subset of a split has; those that a conflict excluded are `(excluded)`."""
        query = (
            f"SELECT coalesce(part, '(excluded)') AS subset, count(*) FROM {self._schema}.split "  # noqa: S608
            "WHERE split = $split AND valid_from <= $at AND valid_to > $at GROUP BY subset ORDER BY subset"
        )
        with self._open_cursor() as cursor:
            return dict(cursor.execute(query, {"at": at, "split": split}).fetchall())

    def list_splits(self) -> list[str]:
        """Return the names of all splits, of any revision."""
        with self._open_cursor() as cursor:
            rows = cursor.execute(f"SELECT DISTINCT split FROM {self._schema}.split ORDER BY split").fetchall()  # noqa: S608
        return [name for (name,) in rows]

    def stage_table(self, key: tuple[Any, ...], make_table: Callable[[], pa.Table]) -> str:
        """Return the name of a table in memory, which `make_table` makes unless it was made before for the key."""

        def write_table(name: str) -> None:
            rows = make_table()
            with self._open_cursor() as cursor, register_table(cursor, "staged_rows", rows):
                cursor.execute(f"CREATE TABLE {self._schema}.{name} AS FROM staged_rows")

        return self._stage_rows(key, write_table)

    def stage_filter(self, subject: str, at: int, where: str) -> str:
        """Return the name of the table of keys of the objects for which an SQL expression is true.

        Raises:
            NotFoundError: the expression names an unknown column.
            UsageError: it is not one expression, cannot be evaluated, or takes too long.
        """

        def write_keys(name: str) -> None:
            with self._wait_for_turn(), open_revision(self._database, self.require_position(at)) as revision:
                chosen = TableFilter(where=where, columns=(_ID_COLUMNS[subject],))
                query, values = build_selection(revision, subject, chosen, with_key=True)
                with translate_sql_errors(where, "filter"), limit_time(revision.connection, _FILTER_TIMEOUT_S):
                    revision.connection.execute(
                        f"CREATE TABLE {self._schema}.{name} AS SELECT {KEY_COLUMN} AS key FROM ({query})",  # noqa: S608
                        values,
                    )

        return self._stage_rows(("filter", subject, at, where), write_keys)

    def _stage_rows(self, key: tuple[Any, ...], write: Callable[[str], None]) -> str:
        with self._staging:
            if key not in self._staged:
                self._next_table += 1
                name = f"staged_{self._next_table}"
                write(name)
                self._staged[key] = name
                if len(self._staged) > _KEPT_TABLES:
                    _, oldest = self._staged.popitem(last=False)
                    with self._open_cursor() as cursor:
                        cursor.execute(f"DROP TABLE IF EXISTS {self._schema}.{oldest}")
            self._staged.move_to_end(key)
            return self._staged[key]

    def find_staged(self, key: tuple[Any, ...]) -> str | None:
        """Return the name of a staged table, if it was made and is kept."""
        return self._staged.get(key)

    def _make_source(self, selection: MapSelection) -> SourceQuery:
        """Return the query for the objects of a selection; what it needs must be staged, except for its filter."""
        self.require_position(selection.at)
        if selection.since is not None:
            return self._make_change_source(selection, selection.since)
        conditions, joins, values = "", "", {"at": selection.at}
        if selection.where is not None:
            keys = self.stage_filter(selection.subject, selection.at, selection.where)
            joins += f" SEMI JOIN {self._schema}.{keys} USING (key)"
        if selection.kinds:
            column = "kind" if selection.subject == "features" else "collection"
            conditions += f" AND {column} IN (SELECT unnest($kinds::VARCHAR[]))"
            values["kinds"] = [*selection.kinds]  # type: ignore[assignment]
        if selection.subject == "features":
            return self._format_source("feature_source", values, joins=joins, conditions=conditions)
        values["split"] = selection.split  # type: ignore[assignment]
        if selection.subsets:
            conditions += " AND coalesce(subset, '') IN (SELECT unnest($subsets::VARCHAR[]))"
            values["subsets"] = [*selection.subsets]  # type: ignore[assignment]
        colour = selection.colour if selection.colour in _COLOURS else "collection"
        components = self.find_staged(("components", selection.at, selection.split))
        if components is not None:
            joins += f" LEFT JOIN {self._schema}.{components} USING (id)"
            if selection.component is not None:
                conditions += " AND component = $component"
                values["component"] = selection.component
        elif colour == "component":
            colour = "collection"
        return self._format_source("raster_source", values, joins=joins, conditions=conditions, kind=_COLOURS[colour])

    def _make_change_source(self, selection: MapSelection, since: int) -> SourceQuery:
        changes = self.find_staged(("changes", selection.subject, since, selection.at))
        if changes is None:
            raise NotFoundError(f"the changes from @{since} to @{selection.at} are not ready. Reload the page.")
        conditions, values = "", {}
        if selection.kinds:
            conditions, values = "AND change IN (SELECT unnest($kinds::VARCHAR[]))", {"kinds": [*selection.kinds]}
        names = {"table": _TABLES[selection.subject], "changes": changes, "conditions": conditions}
        return self._format_source("change_source", values, **names)

    def _format_source(self, name: str, values: dict[str, Any], **parts: str) -> SourceQuery:
        return SourceQuery(_read_sql(name).format(schema=self._schema, **parts), values)

    def _fetch_rows(
        self, selection: MapSelection, query: str, values: dict[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run a query whose `{}` is the source of a selection."""
        source = self._make_source(selection)
        with self._open_cursor() as cursor:
            return cursor.execute(query.replace("{}", source.sql), {**source.parameters, **(values or {})}).fetchall()

    @contextmanager
    def _open_cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        assert self._connection is not None, "the tables are not built"
        with closing(open_cursor(self._connection)) as cursor:
            yield cursor


@contextmanager
def open_map_database(database: Database) -> Iterator[Database]:
    """Yield a database for map tables, which takes a limited memory and a temporary folder, deleted at the end."""
    clone = database.clone_database()
    with tempfile.TemporaryDirectory(prefix="geographer-view-", ignore_cleanup_errors=True) as folder:
        with clone.open_connection(spatial=True) as connection:
            connection.execute(f"SET memory_limit = '{MEMORY_LIMIT_GB}GB'")
            connection.execute("SET temp_directory = $folder", {"folder": folder})
        try:
            yield clone
        finally:
            connection.close()


def _measure_tile(zoom: int, column: int, row: int) -> float:
    """Return the width of a tile in map coordinates; `NotFoundError` if there is no such tile."""
    if not (0 <= zoom <= MAX_ZOOM and 0 <= column < 2**zoom and 0 <= row < 2**zoom):
        raise NotFoundError(f"no tile {zoom}/{column}/{row}. Zoom levels are 0 to {MAX_ZOOM}.")
    return 2.0**-zoom


def _make_box_conditions(box: Box | None) -> tuple[str, dict[str, float]]:
    """Return the SQL for objects that meet a box in degrees, and the values of its parameters."""
    if box is None:
        return "", {}
    west, south, east, north = box
    meets = "OR" if west > east else "AND"
    condition = f"AND y1 >= $box_north AND y0 <= $box_south AND (x1 >= $box_west {meets} x0 <= $box_east)"
    edges = {"box_west": _map_x(west), "box_east": _map_x(east), "box_north": _map_y(north), "box_south": _map_y(south)}
    return condition, edges


def _make_summary(rows: list[tuple[Any, ...]]) -> SelectionSummary:
    kinds = {kind: number for kind, number, *_ in rows}
    edges = [row[3:] for row in rows if row[3] is not None]
    box = None
    if edges:
        west, north, east, south = zip(*edges, strict=True)
        box = _make_degrees_box(min(west), min(north), max(east), max(south))
    return SelectionSummary(kinds, sum(kinds.values()), sum(row[2] for row in rows), box)


def _make_listed_object(id: str, kind: str, subset: str | None, parent_id: str | None, *places: Any) -> ListedObject:
    place_x, place_y, west, north, east, south, is_beyond = places
    if is_beyond:
        return ListedObject(id, kind, subset, parent_id, None, None)
    place = (_find_longitude(place_x), _find_latitude(place_y))
    return ListedObject(id, kind, subset, parent_id, place, _make_degrees_box(west, north, east, south))


def _make_degrees_box(west: float, north: float, east: float, south: float) -> Box:
    return _find_longitude(west), _find_latitude(south), _find_longitude(east), _find_latitude(north)


def _map_x(longitude: float) -> float:
    return (longitude + 180) / 360


def _map_y(latitude: float) -> float:
    bounded = max(min(latitude, 85.05112877980659), -85.05112877980659)
    return 0.5 - math.log(math.tan(math.radians(45 + bounded / 2))) / (2 * math.pi)


def _find_longitude(x: float) -> float:
    return x * 360 - 180


def _find_latitude(y: float) -> float:
    return math.degrees(2 * math.atan(math.exp(math.pi * (1 - 2 * y)))) - 90


@cache
def _read_sql(name: str) -> str:
    """Return a query without its comments, so that it can be a part of another one."""
    lines = (Path(__file__).parent / "sql" / f"{name}.sql").read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("--")).strip().removesuffix(";")
