"""Vector source: a file that GDAL reads, GeoParquet, Arrow or a GeoDataFrame as one DuckDB relation with one CRS."""

import codecs
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb

from geographer.base.errors import NotFoundError, UsageError
from geographer.base.input_paths import require_input_path
from geographer.base.text import quote_start
from geographer.planning.redacted_columns import make_redacted_texts
from geographer.planning.user_columns import RESERVED_COLUMNS, deduplicate_column_names, require_column_names
from geographer.planning.vectors.arrow_tables import convert_to_arrow, open_parquet
from geographer.planning.vectors.columns import SourceColumn, name_columns
from geographer.planning.vectors.crs import normalise_crs
from geographer.planning.vectors.gdal_files import convert_file
from geographer.planning.vectors.parquet_files import find_crs, scan_parquet
from geographer.storage.database.connection import escape_literal, quote_identifier, register_table
from geographer.storage.database.duckdb_errors import is_interrupt
from geographer.storage.database.sql_sandbox import hide_credentials
from geographer.storage.events.payload import Columns

_PARQUET_SUFFIXES: Final = (".parquet", ".geoparquet", ".pq")
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
        fid_copy: The column that has the same values as `fid`, because the file states them as ids.
        unsupported: SQL for whether a row has a geometry that cannot be read, such as a surface; the column has NULL.
    """

    name: str
    relation: str
    geometry: str
    crs: str
    columns: dict[str, str]
    fid: str | None = None
    fid_copy: str | None = None
    unsupported: str = "false"

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
            if is_interrupt(error) or isinstance(error, duckdb.OutOfMemoryException):
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
        copies = {self.fid_copy} if self.fid in excluded else set()
        columns = [column for column in self.columns if column not in {*excluded, *copies}]
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
        NotFoundError: The file does not exist, or has no such layer.
        UsageError: The data cannot be read, or lacks a geometry column or a CRS.
        CorruptError: The file is truncated.
    """
    if isinstance(data, VectorSource):
        yield data
        return
    name = str(data) if isinstance(data, str | Path) else "the table"
    path = require_input_path(data) if isinstance(data, str | Path) else None
    if path is not None and path.suffix.lower() not in _PARQUET_SUFFIXES:
        codec = None if encoding is None else _find_codec(encoding)
        with TemporaryDirectory(prefix="geographer-") as folder:
            parquet, columns, stated = convert_file(name, Path(folder), layer, codec)
            scan = f"read_parquet('{escape_literal(str(parquet))}')"
            yield _make_source(connection, name, scan, columns, crs or stated)
        return
    _reject_file_options(layer, encoding)
    if path is not None and (scanned := scan_parquet(connection, path)):
        yield _make_source(connection, name, *scanned[:2], crs or scanned[2])
        return
    arrow = convert_to_arrow(data) if path is None else open_parquet(path)
    with _register_data(connection, arrow.data, name) as names:
        stated = None if arrow.crs is None else _describe_crs(connection, arrow.crs)
        columns = [column._replace(column=names[column.column]) for column in arrow.columns]
        yield _make_source(connection, name, "input_data", columns, crs or stated)


def _reject_file_options(layer: str | None, encoding: str | None) -> None:
    given = {"--layer": layer, "--encoding": encoding}
    if options := [name for name, value in given.items() if value is not None]:
        raise UsageError(
            f"{' and '.join(options)}: Parquet files and tables have one layer, and text in UTF-8. Omit it."
        )


def _find_codec(encoding: str) -> str:
    """Return Python's name of an encoding of text; raise `UsageError` if there is none."""
    try:
        name = codecs.lookup(encoding).name
        "a".encode(name)
    except (LookupError, UnicodeError, ValueError) as error:
        raise UsageError(f"unknown --encoding '{encoding}'. Use a name such as cp1252, utf-8 or shift_jis.") from error
    return name


@contextmanager
def _register_data(connection: duckdb.DuckDBPyConnection, data: Any, name: str) -> Iterator[dict[str, str]]:
    """Let queries read Arrow data as `input_data`; yield DuckDB's names, which differ in more than case."""
    try:
        connection.register("input_data", data)
        rows = connection.execute("DESCRIBE FROM input_data").fetchall()
    except duckdb.Error as error:
        raise UsageError(f"cannot read '{name}' as vector data: {_read_first_line(error)}") from error
    try:
        yield {column: row[0] for column, row in zip(data.schema.names, rows, strict=True)}
    finally:
        connection.unregister("input_data")


def _describe_crs(connection: duckdb.DuckDBPyConnection, metadata: str) -> str | None:
    """Return DuckDB's text of the CRS in the metadata of a GeoArrow column."""
    import pyarrow as pa

    keys = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": metadata}
    table = pa.schema([pa.field("geometry", pa.binary(), metadata=keys)]).empty_table()
    with register_table(connection, "input_crs", table):
        kind = connection.execute("DESCRIBE FROM input_crs").fetchall()[0][1]
    return find_crs(kind)


def _make_source(
    connection: duckdb.DuckDBPyConnection, name: str, scan: str, columns: Sequence[SourceColumn], crs: str | None
) -> VectorSource:
    """Return the source of a scanned table with these columns; `UsageError` if it has no geometry or no CRS."""
    named = name_columns(columns)
    if named.geometry is None:
        is_file = scan != "input_data"
        advice = "save points as GeoPackage or GeoJSON" if is_file else "an Arrow table needs a geoarrow.wkb column"
        raise UsageError(
            f"'{name}' has no geometry column ({advice}). "
            f"Its columns are {', '.join(column.name for column in columns if column.kind != 'fid') or 'none'}."
        )
    if crs is None:
        raise UsageError(f"'{name}' has no CRS. Pass --crs EPSG:….")
    relation = f"(SELECT {named.sql} FROM {scan})"  # noqa: S608
    types = {row[0]: row[1] for row in connection.execute(f"DESCRIBE FROM {relation}").fetchall()}
    others = {
        column: kind for column, kind in types.items() if column not in (named.geometry, named.fid, named.unsupported)
    }
    unsupported, source_crs = quote_identifier(named.unsupported), normalise_crs(connection, crs)
    return VectorSource(name, relation, named.geometry, source_crs, others, named.fid, named.fid_copy, unsupported)


def _read_first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
