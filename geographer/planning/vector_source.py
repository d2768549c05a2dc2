"""Vector data from anywhere: a file that GDAL reads, GeoParquet, Arrow, a GeoDataFrame: one relation, one CRS."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from geographer.base.errors import CorruptError, NotFoundError, UsageError
from geographer.planning.user_columns import deduplicate_column_names
from geographer.storage.database.connection import escape_literal, quote_identifier

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_PARQUET: Final = (".parquet", ".geoparquet", ".pq")
_BY_GDAL: Final = "ST_Read"
_CUT_OFF_IN_SILENCE: Final = ".fgb"
_LONLAT: Final = frozenset({"EPSG:4326", "OGC:CRS84"})
_OWN_TYPES: Final = {
    "BOOLEAN": "BOOLEAN",
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), "BIGINT"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "DOUBLE"),
    "DATE": "DATE",
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "TIMESTAMP"),
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
}


@dataclass(frozen=True, slots=True)
class VectorSource:
    """Vector data as DuckDB sees it.

    Attributes:
        name: What a person calls it: the file, or 'the table'.
        relation: SQL that stands after FROM.
        geometry: The name of its geometry column.
        crs: `EPSG:nnnn`, WKT or PROJJSON; longitude/latitude in any spelling is `EPSG:4326`.
        columns: The other columns, name to DuckDB type, in their order.
        row_number: The one of them in which GDAL numbers the rows, if it read them.
    """

    name: str
    relation: str
    geometry: str
    crs: str
    columns: dict[str, str]
    row_number: str | None = None

    def require_column(self, name: str) -> str:
        """`name`, if it is a column.

        Raises:
            NotFoundError: it is not; the message names those that are.
        """
        if name not in self.columns:
            raise NotFoundError(f"'{self.name}' has no column '{name}': it has {', '.join(self.columns)}")
        return name

    @contextmanager
    def translate_errors(self, where: str | None = None) -> Iterator[None]:
        """Turns what DuckDB finds wrong with the rows, or with a person's expression over them, into a `UsageError`."""
        try:
            yield
        except (
            duckdb.DataError,
            duckdb.ProgrammingError,
            duckdb.NotSupportedError,
            duckdb.IOException,
        ) as error:
            told = f" with --where {where!r}" if where else ""
            raise UsageError(f"'{self.name}' can't be read{told}: {_first_line(error)}") from error

    def list_user_columns(self, used: set[str], reserved: Collection[str]) -> dict[str, tuple[str, str]]:
        """The person's own columns: new name (see `unhidden`) to (column, type)."""
        columns = [column for column in self.columns if column not in used and column != self.row_number]
        names = deduplicate_column_names(columns, reserved)
        return {names[column]: (column, _own_type(self.columns[column])) for column in columns}


def properties_sql(own: dict[str, tuple[str, str]]) -> str:
    """SQL for a JSON text of a person's own columns; what JSON has no type for is text."""
    if not own:
        return "'{}'"
    members = ", ".join(
        f"'{escape_literal(name)}': {_json_value(column, kind)}" for name, (column, kind) in own.items()
    )
    return f"to_json({{{members}}})::VARCHAR"


def _own_type(kind: str) -> str:
    return "DOUBLE" if kind.startswith("DECIMAL") else _OWN_TYPES.get(kind, "VARCHAR")


def _json_value(column: str, kind: str) -> str:
    name = quote_identifier(column)
    if kind == "DOUBLE":
        # JSON has neither NaN nor infinity; as text they are read back as what they were.
        return f"if(isfinite({name}::DOUBLE), to_json({name}::DOUBLE), to_json({name}::VARCHAR))"
    return name if kind in ("BOOLEAN", "BIGINT") else f"{name}::VARCHAR"


@contextmanager
def open_vector_source(connection: duckdb.DuckDBPyConnection, data: Any, crs: str | None) -> Iterator[VectorSource]:
    """`data`, opened: a path, an Arrow table (or anything that streams as one), a GeoDataFrame, or a source as it is.

    Args:
        connection: One with the spatial functions.
        data: What was passed.
        crs: Overrides the CRS that the data states.

    Raises:
        NotFoundError: no such file.
        UsageError: it can't be read, or it has no geometry or no CRS.
        CorruptError: it was cut off.
    """
    if isinstance(data, VectorSource):
        yield data
        return
    if isinstance(data, str | Path):
        source = _described(connection, str(data), _file_relation(Path(data)), crs)
        if Path(data).suffix.lower() == _CUT_OFF_IN_SILENCE:
            _refuse_cut_off(connection, source)
        yield source
        return
    connection.register("given_data", _arrow(data))
    try:
        yield _described(connection, "the table", "given_data", crs)
    finally:
        connection.unregister("given_data")


def _file_relation(path: Path) -> str:
    if not path.exists():
        raise NotFoundError(f"no such file: '{path}'")
    reader = "read_parquet" if path.suffix.lower() in _PARQUET else _BY_GDAL
    return f"{reader}('{escape_literal(str(path))}')"


def _refuse_cut_off(connection: duckdb.DuckDBPyConnection, source: VectorSource) -> None:
    """Raise when a FlatGeobuf file holds fewer rows than its header says; GDAL reads it as far as it goes.

    Raises:
        CorruptError: it does.
    """
    stated = f"SELECT layers[1].feature_count FROM ST_Read_Meta('{escape_literal(source.name)}')"  # noqa: S608
    row = connection.execute(
        f"SELECT ({stated}), (SELECT count(*) FROM {source.relation})"  # noqa: S608
    ).fetchone()
    due, found = row or (0, 0)
    if found < (due or 0):
        raise CorruptError(
            f"'{source.name}' is damaged: it says that it has {due:,} features, and {found:,} can be read; get it again"
        )


def _arrow(data: Any) -> Any:
    """A GeoDataFrame as Arrow, with its index as a column where that has a name; other data as it is."""
    if hasattr(data, "to_arrow") and hasattr(data, "geometry"):
        import pyarrow as pa

        return pa.table(data.to_arrow(index=data.index.name is not None))
    return getattr(data, "arrow", data)


def _described(connection: duckdb.DuckDBPyConnection, name: str, relation: str, crs: str | None) -> VectorSource:
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()  # noqa: S608
    except duckdb.Error as error:
        raise UsageError(f"'{name}' can't be read as vector data: {_first_line(error)}") from error
    types = {row[0]: row[1] for row in rows}
    geometry = next((column for column, kind in types.items() if kind.startswith("GEOMETRY")), None)
    if geometry is None:
        raise UsageError(
            f"'{name}' has no geometry column: it has {', '.join(types)}; in Arrow, geometry is a geoarrow.wkb column"
        )
    stated = re.fullmatch(r"GEOMETRY\('(.*)'\)", types.pop(geometry), re.DOTALL)
    known = crs or (stated[1].replace("''", "'") if stated else None)
    if known is None:
        raise UsageError(f"'{name}' does not say its CRS: pass --crs EPSG:…")
    row_number = next(iter(types)) if relation.startswith(_BY_GDAL) else None
    return VectorSource(name, relation, geometry, normalise_crs(connection, known), types, row_number)


def normalise_crs(connection: duckdb.DuckDBPyConnection, crs: str) -> str:
    """The text of a CRS as the log has it: `EPSG:nnnn` where it is so short, and `EPSG:4326` for longitude/latitude.

    Raises:
        UsageError: PROJ does not know it.
    """
    if crs.upper() in _LONLAT:
        return "EPSG:4326"
    try:
        connection.execute("SELECT ST_Transform(ST_Point(0, 0), $crs, 'EPSG:4326', always_xy := true)", {"crs": crs})
    except duckdb.Error as error:
        raise UsageError(f"'{crs}' is not a CRS that PROJ knows: use EPSG:…, WKT or PROJJSON") from error
    return crs.upper() if crs.upper().startswith("EPSG:") else crs


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
