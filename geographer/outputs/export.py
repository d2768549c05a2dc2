"""TODO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb

from geographer.base.errors import StorageError, UsageError
from geographer.storage.database.connection import Database, escape_literal, quote_identifier
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.queries.revision import GEOMETRY_OF, Revision
from geographer.storage.queries.tables import TableFilter, build_selection, open_user_query

if TYPE_CHECKING:
    from pathlib import Path


def format_json_lines(revision: Revision, table: str, wanted: TableFilter) -> list[str]:
    """The wanted rows as JSON objects, geometry as GeoJSON, null for numbers that JSON does not have."""
    query, parameters = build_selection(revision, table, wanted)
    with translate_sql_errors(wanted.where):
        return _json_rows(revision.connection, query, parameters)


def format_geojson_features(revision: Revision, table: str, wanted: TableFilter) -> list[str]:
    """The wanted rows of a table with a geometry, as GeoJSON features.

    Raises:
        UsageError: the table has no geometry.
    """
    geometry = GEOMETRY_OF.get(table)
    if geometry is None:
        raise UsageError(f"'{table}' have no geometry: use --format json, table or parquet")
    query, parameters = build_selection(revision, table, wanted)
    columns = revision.list_columns(table)
    properties = ", ".join(
        f"'{escape_literal(name)}': {quote_identifier(name)}" for name in columns if name != geometry
    )
    feature = (
        f"SELECT 'Feature' AS type, {columns[0]} AS id, {geometry} AS geometry, {{{properties}}} AS properties "  # noqa: S608
        f"FROM ({_for_json(revision.connection, query, parameters, but=geometry)})"
    )
    with translate_sql_errors(wanted.where):
        return _json_rows(revision.connection, feature, parameters)


def write_parquet(revision: Revision, table: str, wanted: TableFilter, path: Path) -> None:
    """The wanted rows as a Parquet file; GeoParquet where the table has a geometry. Written aside, then renamed.

    Raises:
        StorageError: the file can't be written.
    """
    query, parameters = build_selection(revision, table, wanted)
    aside = path.with_name(path.name + ".part")
    copy = f"COPY ({query}) TO '{escape_literal(str(aside))}' (FORMAT parquet)"
    try:
        with translate_sql_errors(wanted.where):
            revision.connection.execute(copy, parameters)
        aside.replace(path)
    except (duckdb.IOException, OSError) as error:
        raise StorageError(f"can't write '{path}': {error}") from error
    finally:
        aside.unlink(missing_ok=True)


def format_query_json_lines(engine: Database, query: str, position: int) -> list[str]:
    """The same, each row as a JSON object, geometry as GeoJSON."""
    with open_user_query(engine, query, position) as (connection, select):
        return _json_rows(connection, select)


def _json_rows(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any] | None = None
) -> list[str]:
    plain = _for_json(connection, query, parameters)
    rows = connection.execute(f"SELECT to_json(r)::VARCHAR FROM ({plain}) AS r", parameters).fetchall()  # noqa: S608
    return [row[0] for row in rows]


def _for_json(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any] | None, but: str = ""
) -> str:
    """`query` with its columns as JSON has them, all but one."""
    columns = connection.execute(f"DESCRIBE ({query}\n)", parameters).fetchall()
    shown = ", ".join(_shown_in_json(name, "" if name == but else kind) for name, kind, *_ in columns)
    return f"SELECT {shown} FROM ({query}\n)"  # noqa: S608


def _shown_in_json(name: str, kind: str) -> str:
    column = quote_identifier(name)
    if kind.startswith("GEOMETRY"):
        return f"ST_AsGeoJSON({column})::JSON AS {column}"
    if kind in ("DOUBLE", "FLOAT"):
        return f"if(isfinite({column}), {column}, NULL) AS {column}"
    return column
