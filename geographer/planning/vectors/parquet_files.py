"""Parquet files: GeoParquet as DuckDB reads it, with the primary geometry column and a name that is no pattern."""

import json
import re
from pathlib import Path
from typing import Any

import duckdb

from geographer.planning.vectors.columns import SourceColumn
from geographer.storage.database.connection import escape_literal, quote_identifier
from geographer.storage.database.duckdb_errors import is_interrupt

_PATTERN = re.compile(r"[\[?*]")


def scan_parquet(
    connection: duckdb.DuckDBPyConnection, path: Path
) -> tuple[str, list[SourceColumn], str | None] | None:
    """Return the SQL that scans a Parquet file, its columns and the CRS of its geometry.

    None: DuckDB finds no geometry, or cannot read the file or one of its geometries, such as a curve.
    """
    name = escape_literal(_PATTERN.sub(lambda match: f"[{match[0]}]", str(path.absolute())))
    scan = f"read_parquet('{name}', hive_partitioning := false)"
    try:
        types = {row[0]: row[1] for row in connection.execute(f"DESCRIBE FROM {scan}").fetchall()}
        geometries = [name for name, kind in types.items() if kind.startswith("GEOMETRY")]
        for column in map(quote_identifier, geometries):
            connection.execute(f"SELECT count(*) FROM {scan} WHERE ST_GeometryType({column}) IS NULL")  # noqa: S608
    except duckdb.Error as error:
        if is_interrupt(error) or isinstance(error, duckdb.OutOfMemoryException):
            raise
        return None
    if not geometries:
        return None
    primary = _read_primary_column(connection, name)
    first = primary if primary in geometries else geometries[0]
    ordered = sorted(types, key=lambda name: name in geometries and name != first)
    columns = [
        SourceColumn(column, column, *(("geometry", "GEOMETRY") if column in geometries else ("value",)))
        for column in ordered
    ]
    return scan, columns, find_crs(types[first])


def find_crs(kind: str) -> str | None:
    """Return the CRS that a DuckDB type of geometries states, or None."""
    stated = re.fullmatch(r"GEOMETRY\('(.*)'\)", kind, re.DOTALL)
    return stated[1].replace("''", "'") if stated else None


def _read_primary_column(connection: duckdb.DuckDBPyConnection, name: str) -> Any:
    """Return the primary column that the metadata of GeoParquet state, or None."""
    query = f"SELECT value FROM parquet_kv_metadata('{name}') WHERE key = 'geo'::BLOB"  # noqa: S608
    rows = connection.execute(query).fetchall()
    return json.loads(bytes(rows[0][0])).get("primary_column") if rows else None
