"""Vector source: a file that GDAL reads, GeoParquet, Arrow or a GeoDataFrame as one DuckDB relation with one CRS."""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import duckdb

from geographer.base.errors import CorruptError, NotFoundError, UsageError
from geographer.base.parameters import Parameter
from geographer.planning.shared_parameters import TEXT
from geographer.planning.user_columns import RESERVED_COLUMNS, deduplicate_column_names
from geographer.storage.database.connection import escape_literal, quote_identifier, register_table
from geographer.storage.events.payload import Columns
from geographer.storage.request import Request

_DATA_HELP: Final = "A vector file; in Python also an Arrow table with a GeoArrow WKB column, or a GeoDataFrame."
_PARQUET_SUFFIXES: Final = (".parquet", ".geoparquet", ".pq")
_GDAL_READER: Final = "ST_Read"
_LONLAT: Final = frozenset({"EPSG:4326", "OGC:CRS84"})
INTEGER_TYPES: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
"""DuckDB's types of integers that fit into 64 bits with a sign."""
_TIMES: Final = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE")
_COLUMN_TYPES: Final = {
    **{"BOOLEAN": "BOOLEAN", "DATE": "DATE", "FLOAT": "DOUBLE", "DOUBLE": "DOUBLE", "DECIMAL": "DOUBLE"},
    **dict.fromkeys(INTEGER_TYPES, "BIGINT"),
    **dict.fromkeys(_TIMES, "TIMESTAMP"),
}


class VectorRequest(Request, frozen=True):
    """A request that reads vector data; the log records the path of a file, and the type of other data."""

    data: Annotated[Any, Parameter(_DATA_HELP, "FILE", cli="argument", schema=TEXT)]

    def list_recorded_parameters(self) -> dict[str, Any]:
        """See `Request.list_recorded_parameters`."""
        data = str(self.data) if isinstance(self.data, str | Path) else type(self.data).__name__
        return {**super().list_recorded_parameters(), "data": data}


@dataclass(frozen=True, slots=True)
class VectorSource:
    """Vector data as a DuckDB relation.

    Attributes:
        name: The name in messages: the file's path, or 'the table'.
        relation: The SQL that follows FROM.
        geometry: The geometry column.
        crs: `EPSG:nnnn`, WKT or PROJJSON; any longitude/latitude WGS 84 CRS is `EPSG:4326`. Axis order is x, y.
        columns: The other columns in order, name to DuckDB type.
        row_number: The column in which GDAL numbers the rows; None for other readers.
    """

    name: str
    relation: str
    geometry: str
    crs: str
    columns: dict[str, str]
    row_number: str | None = None

    def require_column(self, column: str) -> str:
        """Return `column`; raise `NotFoundError` if the source lacks it."""
        if column not in self.columns:
            raise NotFoundError(f"'{self.name}' has no column '{column}'. Its columns are {', '.join(self.columns)}.")
        return column

    def find_id_column(self, requested: str | None, defaults: tuple[str, ...]) -> str:
        """Return the requested column (else `NotFoundError`), or the first of `defaults` (else `UsageError`)."""
        if requested is not None:
            return self.require_column(requested)
        if available := [name for name in defaults if name in self.columns]:
            return available[0]
        names, expected = ", ".join(self.columns) or "none", " or ".join(f"'{name}'" for name in defaults)
        raise UsageError(f"'{self.name}' has no column {expected}. Pass --id COLUMN. Its columns: {names}.")

    @contextmanager
    def translate_errors(self, where: str | None = None) -> Iterator[None]:
        """Raise DuckDB's errors about the rows, or about the user's expression `where`, as `UsageError`."""
        try:
            yield
        except (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError, duckdb.IOException) as error:
            condition = f" with --where {where!r}" if where else ""
            raise UsageError(f"cannot read '{self.name}'{condition}: {_read_first_line(error)}") from error

    def list_user_columns(
        self, excluded: Collection[str | None], reserved: Collection[str] = RESERVED_COLUMNS
    ) -> tuple[Columns, str]:
        """Return the types of the user columns by unique names, and SQL for a row's values as JSON text."""
        columns = [column for column in self.columns if column not in excluded and column != self.row_number]
        names = deduplicate_column_names(columns, reserved)
        kinds = {name: self.columns[column].partition("(")[0] for column, name in names.items()}
        types = {name: _COLUMN_TYPES.get(kind, "VARCHAR") for name, kind in kinds.items()}
        values = [f"'{escape_literal(name)}': {_make_json_value(old, types[name])}" for old, name in names.items()]
        return types, f"to_json({{{', '.join(values)}}})::VARCHAR" if columns else "'{}'"


def _make_json_value(column: str, kind: str) -> str:
    name = quote_identifier(column)
    if kind == "DOUBLE":
        # JSON has neither NaN nor infinity; their text is read back as the same number.
        return f"if(isfinite({name}::DOUBLE), to_json({name}::DOUBLE), to_json({name}::VARCHAR))"
    return name if kind in ("BOOLEAN", "BIGINT") else f"{name}::VARCHAR"


@contextmanager
def open_vector_source(connection: duckdb.DuckDBPyConnection, data: Any, crs: str | None) -> Iterator[VectorSource]:
    """Open vector data, which may be an opened source, for reading in DuckDB; `crs` replaces the CRS that they state.

    Raises:
        NotFoundError: The file does not exist.
        UsageError: The data cannot be read, or lacks a geometry column or a CRS.
        CorruptError: The file is truncated.
    """
    if isinstance(data, VectorSource):
        yield data
    elif isinstance(data, str | Path):
        suffix = Path(data).suffix.lower()
        if not Path(data).exists():
            raise NotFoundError(f"no such file: '{data}'")
        reader = "read_parquet" if suffix in _PARQUET_SUFFIXES else _GDAL_READER
        source = _describe_source(connection, str(data), f"{reader}('{escape_literal(str(data))}')", crs)
        if suffix == ".fgb":
            _reject_truncated(connection, source)
        yield source
    else:
        with register_table(connection, "input_data", _convert_to_arrow(data)) as relation:
            yield _describe_source(connection, "the table", relation, crs)


def _reject_truncated(connection: duckdb.DuckDBPyConnection, source: VectorSource) -> None:
    """Raise `CorruptError` if a FlatGeobuf file has fewer rows than its header states; GDAL reads it without error."""
    stated = f"SELECT layers[1].feature_count FROM ST_Read_Meta('{escape_literal(source.name)}')"  # noqa: S608
    query = f"SELECT ({stated}), (SELECT count(*) FROM {source.relation})"  # noqa: S608
    expected, readable = connection.execute(query).fetchone() or (0, 0)
    if readable < (expected or 0):
        raise CorruptError(
            f"'{source.name}' is damaged: its header states {expected:,} features, but {readable:,} can be read. "
            "Get the file again."
        )


def _convert_to_arrow(data: Any) -> Any:
    """Convert a GeoDataFrame, with its index if that has a name; return other data unchanged."""
    if hasattr(data, "to_arrow") and hasattr(data, "geometry"):
        import pyarrow as pa

        return pa.table(data.to_arrow(index=data.index.name is not None))
    return getattr(data, "arrow", data)


def _describe_source(connection: duckdb.DuckDBPyConnection, name: str, relation: str, crs: str | None) -> VectorSource:
    try:
        types = {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}  # noqa: S608
    except duckdb.Error as error:
        raise UsageError(f"cannot read '{name}' as vector data: {_read_first_line(error)}") from error
    geometry = next((column for column, kind in types.items() if kind.startswith("GEOMETRY")), None)
    if geometry is None:
        raise UsageError(
            f"'{name}' has no geometry column (an Arrow table needs a geoarrow.wkb column). "
            f"Its columns are {', '.join(types)}."
        )
    stated = re.fullmatch(r"GEOMETRY\('(.*)'\)", types.pop(geometry), re.DOTALL)
    source_crs = crs or (stated[1].replace("''", "'") if stated else None)
    if source_crs is None:
        raise UsageError(f"'{name}' has no CRS. Pass --crs EPSG:….")
    row_number = next(iter(types)) if relation.startswith(_GDAL_READER) else None
    return VectorSource(name, relation, geometry, normalise_crs(connection, source_crs), types, row_number)


def normalise_crs(connection: duckdb.DuckDBPyConnection, crs: str) -> str:
    """Return a CRS as the log records it: `EPSG:4326` for longitude/latitude, `EPSG:nnnn`, or other text unchanged.

    Raises `UsageError` if PROJ cannot read it.
    """
    if crs.upper() in _LONLAT:
        return "EPSG:4326"
    try:
        connection.execute("SELECT ST_Transform(ST_Point(0, 0), $crs, 'EPSG:4326', always_xy := true)", {"crs": crs})
    except duckdb.Error as error:
        raise UsageError(f"unknown CRS '{crs}'. Use EPSG:nnnn, WKT or PROJJSON.") from error
    return crs.upper() if crs.upper().startswith("EPSG:") else crs


def _read_first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
