"""Export tables of a revision: JSON lines, GeoJSON features, CSV, Parquet."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import duckdb

from geographer.base.atomic_files import temporary_sibling
from geographer.base.errors import StorageError, UsageError
from geographer.base.html import render_rows
from geographer.storage.database.connection import escape_literal, memory_connection, quote_identifier, register_table
from geographer.storage.database.query_limits import fetch_limited_table, fetch_limited_texts
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.queries.read_tables import UserQuery, open_user_query
from geographer.storage.queries.revision import GEOMETRY_COLUMNS, Revision
from geographer.storage.queries.selection import TableFilter, build_selection, include_identity, require_table

if TYPE_CHECKING:
    import pyarrow as pa

QueryRunner = Callable[[str, Any], duckdb.DuckDBPyConnection]
"""Runs a query with the values of its parameters."""

_LAST_TIMES: Final = (datetime.date.max, datetime.datetime.max)
_GEOMETRY_SUMMARY: Final = (
    "CASE WHEN {0} IS NULL THEN NULL WHEN ST_IsEmpty({0}) THEN ST_GeometryType({0})::VARCHAR || ' EMPTY' "
    "ELSE ST_GeometryType({0})::VARCHAR || if(ST_GeometryType({0}) = 'POINT', '', ' ' || ST_NPoints({0}) || ' points') "
    "|| ' ' || round((ST_XMin({0}) + ST_XMax({0})) / 2, 4)::VARCHAR "
    "|| ',' || round((ST_YMin({0}) + ST_YMax({0})) / 2, 4)::VARCHAR END"
)


def format_json_lines(revision: Revision, table: str, table_filter: TableFilter) -> list[str]:
    """Return a table's filtered rows as JSON objects: geometry as GeoJSON, null for infinity and NaN."""
    query, parameters = build_selection(revision, table, table_filter)
    with translate_sql_errors(table_filter.where):
        connection = revision.prepare_connection(query, spatial=table in GEOMETRY_COLUMNS)
        return _fetch_json_rows(connection, query, parameters)


class SummaryRows(NamedTuple):
    """The rows of a table as Python values."""

    names: list[str]
    rows: list[tuple[Any, ...]]

    def _repr_html_(self) -> str:
        return render_rows(self.names, self.rows, len(self.rows))


def read_summary(revision: Revision, table: str, table_filter: TableFilter) -> pa.Table | SummaryRows:
    """Return a table's filtered rows with each geometry as a short text: `POLYGON 9 points 12.1,46.5`.

    The two numbers are x and y of the middle of its bounds, with four decimals. The rows are an Arrow table if Python
    lacks one of their dates.
    """
    query, parameters = build_selection(revision, table, table_filter)
    with translate_sql_errors(table_filter.where):
        query = _summarise_geometries(revision.run_query, query, parameters)
        result = revision.run_query(query, parameters)
        columns = [(name, str(kind)) for name, kind, *_ in result.description]
        rows = result.fetchall()
        if _has_unusual_times(columns, rows):
            return revision.fetch_arrow(query, parameters)
    return SummaryRows([name for name, _ in columns], rows)


def _has_unusual_times(columns: list[tuple[str, str]], rows: list[tuple[Any, ...]]) -> bool:
    """Return whether DuckDB replaced a date or time that Python lacks, such as one in the year 10000, by another."""
    places = [index for index, (_, kind) in enumerate(columns) if kind.startswith(("DATE", "TIME"))]
    return any(row[place] in _LAST_TIMES or isinstance(row[place], str) for row in rows for place in places)


def read_query_summary(user_query: UserQuery) -> pa.Table:
    """Run a user's SELECT and return its rows with each geometry as a short text; see `read_summary`."""
    with open_user_query(user_query) as (connection, select):
        query = _summarise_geometries(connection.execute, select, user_query.parameters)
        return fetch_limited_table(connection, query, user_query.parameters)


def _summarise_geometries(execute: QueryRunner, query: str, parameters: Any) -> str:
    columns = execute(f"DESCRIBE ({query}\n)", parameters).fetchall()
    names = [quote_identifier(name) for name, kind, *_ in columns if kind.startswith("GEOMETRY")]
    if not names:
        return query
    replaced = ", ".join(f"{_GEOMETRY_SUMMARY.format(name)} AS {name}" for name in names)
    return f"SELECT * REPLACE ({replaced}) FROM ({query}\n)"  # noqa: S608


def format_geojson_features(revision: Revision, table: str, table_filter: TableFilter) -> list[str]:
    """Return a table's filtered rows as GeoJSON features, with id and geometry; `UsageError` if it has no geometry."""
    require_table(table)
    geometry = GEOMETRY_COLUMNS.get(table)
    if geometry is None:
        raise UsageError(f"table '{table}' has no geometry. Use --format json, csv, table or parquet.")
    table_filter = include_identity(revision, table, table_filter)
    query, parameters = build_selection(revision, table, table_filter)
    columns = table_filter.columns or revision.list_columns(table)
    others = (name for name in columns if name != geometry)
    properties = ", ".join(f"'{escape_literal(name)}': {quote_identifier(name)}" for name in others)
    converted = _convert_for_json(revision.connection, query, parameters, unchanged=geometry)
    fields = f"'Feature' AS type, {columns[0]} AS id, {geometry} AS geometry, {{{properties}}} AS properties"
    feature = f"SELECT {fields} FROM ({converted})"  # noqa: S608
    with translate_sql_errors(table_filter.where):
        return _fetch_json_rows(revision.connection, feature, parameters)


def format_csv_lines(revision: Revision, table: str, table_filter: TableFilter, delimiter: str = ",") -> list[str]:
    """Return a header and a table's filtered rows as CSV (RFC 4180), geometry as WKT.

    Null is an empty field, and an empty text is `""`.
    """
    query, parameters = build_selection(revision, table, table_filter)
    with translate_sql_errors(table_filter.where):
        connection = revision.prepare_connection(query, spatial=table in GEOMETRY_COLUMNS)
        return _fetch_csv_lines(connection, query, parameters, delimiter)


def write_parquet(revision: Revision, table: str, table_filter: TableFilter, path: Path) -> None:
    """Write a table's filtered rows to a Parquet (GeoParquet) file atomically, or raise `StorageError`."""
    query, parameters = build_selection(revision, table, table_filter)
    with translate_sql_errors(table_filter.where):
        write_parquet_query(revision.connection, query, parameters, path)


def format_rows(rows: pa.Table, table_format: str) -> list[str]:
    """Return Arrow rows as the lines of a file: 'csv' or 'tsv' with a header, 'json' as one object per line."""
    with memory_connection() as connection, register_table(connection, "query_result", rows) as name:
        if table_format == "json":
            return _fetch_json_rows(connection, f"FROM {name}")
        return _fetch_csv_lines(connection, f"FROM {name}", {}, {"csv": ",", "tsv": "\t"}[table_format])


def write_parquet_rows(rows: pa.Table, path: Path) -> None:
    """Write Arrow rows to a Parquet file atomically; as GeoParquet if they have geometries. Errors: `write_parquet`."""
    with memory_connection() as connection, register_table(connection, "query_result", rows) as name:
        write_parquet_query(connection, f"FROM {name}", {}, path)


def write_parquet_query(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any], path: Path
) -> None:
    """Write the rows of a query to a Parquet (GeoParquet) file atomically, or raise `StorageError`."""
    if not path.parent.is_dir():
        raise StorageError(f"cannot write '{path}': '{path.parent}' is not a folder.")
    try:
        with temporary_sibling(path) as temporary:
            copy = f"COPY ({query}) TO '{escape_literal(str(temporary))}' (FORMAT parquet)"
            connection.execute(copy, {**parameters})
            temporary.replace(path)
    except (duckdb.IOException, OSError) as error:
        raise StorageError(f"cannot write '{path}': {error}") from error


def format_query_json_lines(user_query: UserQuery) -> list[str]:
    """Run a user's SELECT and return its rows as JSON objects, geometry as GeoJSON."""
    with open_user_query(user_query) as (connection, select):
        return _fetch_json_rows(connection, select, user_query.parameters)


def format_query_csv_lines(user_query: UserQuery, delimiter: str = ",") -> list[str]:
    """Run a user's SELECT and return a header and its rows as CSV; see `format_csv_lines`."""
    with open_user_query(user_query) as (connection, select):
        return _fetch_csv_lines(connection, select, user_query.parameters, delimiter)


def _fetch_csv_lines(connection: duckdb.DuckDBPyConnection, query: str, parameters: Any, delimiter: str) -> list[str]:
    columns = connection.execute(f"DESCRIBE ({query}\n)", parameters).fetchall()
    fields = f" || '{delimiter}' || ".join(_convert_column_for_csv(name, kind, delimiter) for name, kind, *_ in columns)
    header = delimiter.join(_quote_field(name, delimiter) for name, *_ in columns)
    return [header, *fetch_limited_texts(connection, f"SELECT {fields} FROM ({query}\n)", parameters)]  # noqa: S608


def _convert_column_for_csv(name: str, kind: str, delimiter: str) -> str:
    column = quote_identifier(name)
    if kind.startswith("GEOMETRY"):
        text = f"ST_AsText({column})"
    else:
        text = (
            f"to_json({column})::VARCHAR"
            if kind.endswith("]") or kind.startswith(("STRUCT", "MAP"))
            else f"{column}::VARCHAR"
        )
    quoted = f"""'"' || replace({text}, '"', '""') || '"'"""
    needs_quotes = f"""{text} = '' OR regexp_matches({text}, '["\r\n{delimiter}]')"""
    return f"CASE WHEN {column} IS NULL THEN '' WHEN {needs_quotes} THEN {quoted} ELSE {text} END"


def _quote_field(text: str, delimiter: str) -> str:
    needs_quotes = not text or any(letter in text for letter in f'"\r\n{delimiter}')
    return '"' + text.replace('"', '""') + '"' if needs_quotes else text


def _fetch_json_rows(connection: duckdb.DuckDBPyConnection, query: str, parameters: Any = None) -> list[str]:
    converted = _convert_for_json(connection, query, parameters)
    return fetch_limited_texts(connection, f"SELECT to_json(r)::VARCHAR FROM ({converted}) AS r", parameters)  # noqa: S608


def _convert_for_json(connection: duckdb.DuckDBPyConnection, query: str, parameters: Any, unchanged: str = "") -> str:
    """Wrap `query` to convert its columns to values that JSON has, except the column `unchanged`."""
    columns = connection.execute(f"DESCRIBE ({query}\n)", parameters).fetchall()
    converted = [_convert_column_for_json(name, "" if name == unchanged else kind) for name, kind, *_ in columns]
    return f"SELECT {', '.join(converted)} FROM ({query}\n)"  # noqa: S608


def _convert_column_for_json(name: str, kind: str) -> str:
    column = quote_identifier(name)
    if kind.startswith("GEOMETRY"):
        return f"ST_AsGeoJSON({column})::JSON AS {column}"
    if kind in ("DOUBLE", "FLOAT"):
        return f"if(isfinite({column}), {column}, NULL) AS {column}"
    return column
