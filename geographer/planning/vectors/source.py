"""Vector source: a file that GDAL reads, GeoParquet, Arrow or a GeoDataFrame as one DuckDB relation with one CRS."""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import duckdb

from geographer.base.errors import CorruptError, NotFoundError, UsageError
from geographer.base.executors import IsolatedScript
from geographer.base.input_paths import require_input_path
from geographer.base.text import is_unicode, quote_start
from geographer.planning.redacted_columns import make_redacted_texts
from geographer.planning.user_columns import RESERVED_COLUMNS, deduplicate_column_names, require_column_names
from geographer.storage.database.connection import (
    escape_literal,
    find_spatial_extension,
    quote_identifier,
)
from geographer.storage.database.duckdb_errors import is_interrupt
from geographer.storage.database.sql_sandbox import hide_credentials
from geographer.storage.events.payload import Columns

if TYPE_CHECKING:
    import pyarrow as pa

_PARQUET_SUFFIXES: Final = (".parquet", ".geoparquet", ".pq")
_GDAL_READER: Final = IsolatedScript(Path(__file__).with_name("gdal_reader.py"))
_CONVERTED: Final = "features.parquet"
_TABLE_ADVICE: Final = "Pass a file, a GeoDataFrame, or an Arrow table with a geoarrow.wkb column."
_READ_ADVICE: Final = "Correct the file, or convert it to another format, such as GeoPackage."
_LONLAT: Final = frozenset({"EPSG:4326", "OGC:CRS84"})
INTEGER_TYPES: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
"""DuckDB's types of integers that fit into 64 bits with a sign."""
_FID_NAMES: Final = ("fid", "ogc_fid")
"""Names of the FID for users, beside the one that it has in the file."""
_TIMES: Final = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE")
_COLUMN_TYPES: Final = {
    **{"BOOLEAN": "BOOLEAN", "DATE": "DATE", "FLOAT": "DOUBLE", "DOUBLE": "DOUBLE", "DECIMAL": "DOUBLE"},
    **dict.fromkeys(INTEGER_TYPES, "BIGINT"),
    **dict.fromkeys(_TIMES, "TIMESTAMP"),
}


@dataclass(frozen=True, slots=True)
class VectorSource:
    """Vector data as a DuckDB relation.

    Attributes:
        name: The name in messages: the file's path, or 'the table'.
        relation: The SQL that follows FROM.
        geometry: The geometry column.
        crs: `EPSG:nnnn`, WKT or PROJJSON; any longitude/latitude WGS 84 CRS is `EPSG:4326`. Axis order is x, y.
        columns: The other columns in order, name to DuckDB type, without `fid`.
        fid: The column of the feature ids (FID) that the file or its format numbers, integers; None if there are none.
    """

    name: str
    relation: str
    geometry: str
    crs: str
    columns: dict[str, str]
    fid: str | None = None

    def require_column(self, column: str) -> str:
        """Return `column`, or the column of the FID for `fid` or its name; `NotFoundError` if the source lacks it."""
        if column not in self.columns and self.fid is not None and column.lower() in (*_FID_NAMES, self.fid.lower()):
            return self.fid
        if column not in self.columns:
            raise NotFoundError(f"'{self.name}' has no column '{column}'. Its columns are {', '.join(self.columns)}.")
        return column

    def column_type(self, column: str) -> str:
        """Return the DuckDB type of one of the columns, or of the FID."""
        return "BIGINT" if column == self.fid else self.columns[column]

    def find_id_column(self, requested: str | None, defaults: tuple[str, ...]) -> str:
        """Return the requested column (else `NotFoundError`), or the first of `defaults` (else `UsageError`)."""
        if requested is not None:
            return self.require_column(requested)
        if available := [name for name in defaults if name in self.columns]:
            return available[0]
        names, expected = ", ".join(self.columns) or "none", " or ".join(f"'{name}'" for name in defaults)
        raise UsageError(f"'{self.name}' has no column {expected}. Pass --id COLUMN. Its columns: {names}.")

    def build_unreadable_time_sql(self) -> str:
        """Return SQL for whether a row has a time outside of the years 1 to 9999, which Python's dates cannot hold."""
        kinds = ("DATE", "TIMESTAMP")
        columns = [quote_identifier(name) for name, kind in self.columns.items() if _COLUMN_TYPES.get(kind) in kinds]
        return (
            " OR ".join(f"NOT coalesce(year({name}) BETWEEN 1 AND 9999, {name} IS NULL)" for name in columns) or "false"
        )

    @contextmanager
    def translate_errors(self, where: str | None = None) -> Iterator[None]:
        """Raise DuckDB's errors about the rows, or about the user's expression `where`, as `UsageError`."""
        try:
            yield
        except duckdb.Error as error:
            if is_interrupt(error):
                raise
            condition = f" with --where {quote_start(where)!r}" if where else ""
            detail = hide_credentials(where or "", _read_first_line(error))
            raise UsageError(f"cannot read '{self.name}'{condition}: {detail}") from error

    def list_user_columns(
        self,
        connection: duckdb.DuckDBPyConnection,
        excluded: Collection[str | None],
        reserved: Collection[str] = RESERVED_COLUMNS,
        known: Collection[str] = (),
    ) -> tuple[Columns, str]:
        """Return the types of the user columns by unique names, and SQL for a row's values as JSON text.

        Columns that differ only in case from those of the dataset, `known`, get their names. The keys of the JSON are
        sorted, so that the order of columns does not matter. Texts are recorded without credentials. `UsageError` if a
        column's name cannot be recorded.
        """
        columns = [column for column in self.columns if column not in excluded]
        require_column_names(columns)
        names = deduplicate_column_names(columns, reserved, known)
        kinds = {name: self.columns[column].partition("(")[0] for column, name in names.items()}
        types = {name: _COLUMN_TYPES.get(kind, "VARCHAR") for name, kind in kinds.items()}
        texts = {old: f"{quote_identifier(old)}::VARCHAR" for old, name in names.items() if types[name] == "VARCHAR"}
        with self.translate_errors():
            texts = make_redacted_texts(connection, self.relation, texts)
        values = [
            f"'{escape_literal(name)}': {texts.get(old) or _make_json_value(old, types[name])}"
            for old, name in sorted(names.items(), key=lambda pair: pair[1])
        ]
        return types, f"to_json({{{', '.join(values)}}})::VARCHAR" if columns else "'{}'"


def _make_json_value(column: str, kind: str) -> str:
    name = quote_identifier(column)
    if kind == "DOUBLE":
        # JSON has neither NaN nor infinity; their text is read back as the same number.
        return f"if(isfinite({name}::DOUBLE), to_json({name}::DOUBLE), to_json({name}::VARCHAR))"
    return name if kind in ("BOOLEAN", "BIGINT") else f"{name}::VARCHAR"


@contextmanager
def open_vector_source(
    connection: duckdb.DuckDBPyConnection,
    data: Any,
    crs: str | None,
    *,
    layer: str | None = None,
    encoding: str | None = None,
) -> Iterator[VectorSource]:
    """Open vector data, which may be an opened source, for reading in DuckDB; `crs` replaces the CRS that they state.

    `layer` names the layer of a file with several; `encoding` is that of its text, if the file does not state it.

    Raises:
        NotFoundError: The file does not exist.
        UsageError: The data cannot be read, or lacks a geometry column or a CRS.
        CorruptError: The file is truncated.
    """
    if isinstance(data, VectorSource):
        yield data
    elif isinstance(data, str | Path):
        path = require_input_path(data)
        if path.suffix.lower() in _PARQUET_SUFFIXES:
            yield _describe_source(connection, str(data), f"read_parquet('{escape_literal(str(data))}')", crs)
        else:
            with TemporaryDirectory(prefix="geographer-") as folder:
                columns = _convert_to_parquet(str(data), Path(folder))
                yield _describe_converted(connection, str(data), columns, Path(folder), crs)
    else:
        table = _convert_to_arrow(data)
        try:
            connection.register("input_data", table)
        except duckdb.Error as error:
            raise UsageError(f"cannot read the table: {_read_first_line(error)}. {_TABLE_ADVICE}") from error
        try:
            yield _describe_source(connection, "the table", "input_data", crs)
        finally:
            connection.unregister("input_data")


def _convert_to_parquet(path: str, folder: Path) -> dict[str, str]:
    """Let GDAL read a vector file in another process, and return its columns; a damaged file can crash GDAL.

    The features are in the file `_CONVERTED` of `folder`, in their order.
    """
    absolute = str(Path(path).absolute())  # The other process keeps the folder in which it was started.
    task = {"path": absolute, "extension": str(find_spatial_extension()), "output": str(folder / _CONVERTED)}
    try:
        result = _GDAL_READER.run_task(task)
    except ChildProcessError as error:
        raise CorruptError(f"'{path}' cannot be read as vector data: GDAL crashed ({error}). {_READ_ADVICE}") from error
    if "error" in result:
        raise UsageError(f"cannot read '{path}' as vector data: {result['error']}. {_READ_ADVICE}")
    if result["count"] < (result["stated"] or 0):
        raise CorruptError(
            f"'{path}' is damaged: its header states {result['stated']:,} features, but {result['count']:,} can be "
            "read. Get the file again."
        )
    return dict(result["columns"])


def _convert_to_arrow(data: Any) -> "pa.Table":
    """Convert a GeoDataFrame, with its index if that has a name, or any Arrow data to a table; else `UsageError`."""
    import pyarrow as pa

    name = ""
    try:
        if hasattr(data, "to_arrow") and hasattr(data, "geometry") and hasattr(data, "columns"):
            data = data.to_arrow(index=data.index.name is not None)
        data = getattr(data, "arrow", data)
        if not hasattr(data, "__arrow_c_stream__"):
            raise UsageError(f"a {type(data).__name__} is no vector data. {_TABLE_ADVICE}")
        table = data if isinstance(data, pa.Table) else pa.table(data)
        for name in table.column_names:
            require_column_names([name])
            table[name].validate(full=True)
    except (pa.ArrowException, TypeError, ValueError, AttributeError, KeyError, NotImplementedError) as error:
        column = f"column '{name}': " if name else ""
        raise UsageError(f"cannot read the table: {column}{error}. {_TABLE_ADVICE}") from error
    return table


def _describe_converted(
    connection: duckdb.DuckDBPyConnection, name: str, columns: dict[str, str], folder: Path, crs: str | None
) -> VectorSource:
    converted = f"read_parquet('{escape_literal(str(folder / _CONVERTED))}')"
    geometry = [quote_identifier(column) for column, kind in columns.items() if kind.startswith("GEOMETRY")]
    replaced = ", ".join(f"ST_GeomFromWKB({column}) AS {column}" for column in geometry)
    relation = f"(SELECT * REPLACE ({replaced}) FROM {converted})" if geometry else converted  # noqa: S608
    return _make_source(connection, name, relation, columns, crs, fid=next(iter(columns)))


def _describe_source(connection: duckdb.DuckDBPyConnection, name: str, relation: str, crs: str | None) -> VectorSource:
    try:
        types = {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}  # noqa: S608
    except duckdb.Error as error:
        raise UsageError(f"cannot read '{name}' as vector data: {_read_first_line(error)}. {_READ_ADVICE}") from error
    return _make_source(connection, name, relation, types, crs)


def _make_source(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    relation: str,
    columns: dict[str, str],
    crs: str | None,
    fid: str | None = None,
) -> VectorSource:
    """Return the source that a relation with these columns is; `UsageError` if it has no geometry or no CRS."""
    geometry = next((column for column, kind in columns.items() if kind.startswith("GEOMETRY")), None)
    if geometry is None:
        raise UsageError(
            f"'{name}' has no geometry column (an Arrow table needs a geoarrow.wkb column). "
            f"Its columns are {', '.join(columns)}."
        )
    stated = re.fullmatch(r"GEOMETRY\('(.*)'\)", columns[geometry], re.DOTALL)
    source_crs = crs or (stated[1].replace("''", "'") if stated else None)
    if source_crs is None:
        raise UsageError(f"'{name}' has no CRS. Pass --crs EPSG:….")
    others = {column: kind for column, kind in columns.items() if column not in (geometry, fid)}
    return VectorSource(name, relation, geometry, normalise_crs(connection, source_crs), others, fid)


def normalise_crs(connection: duckdb.DuckDBPyConnection, crs: str) -> str:
    """Return a CRS as the log records it: `EPSG:4326` for longitude/latitude, `EPSG:nnnn`, or other text unchanged.

    Raises `UsageError` if PROJ cannot read it.
    """
    if crs.upper() in _LONLAT:
        return "EPSG:4326"
    if not is_unicode(crs):
        raise UsageError(f"unknown CRS '{crs}'. Use EPSG:nnnn, WKT or PROJJSON.")
    try:
        connection.execute("SELECT ST_Transform(ST_Point(0, 0), $crs, 'EPSG:4326', always_xy := true)", {"crs": crs})
    except duckdb.Error as error:
        raise UsageError(f"unknown CRS '{quote_start(crs)}'. Use EPSG:nnnn, WKT or PROJJSON.") from error
    return crs.upper() if crs.upper().startswith("EPSG:") else crs


def _read_first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
