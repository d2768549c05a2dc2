"""Files of tables: CSV, GeoJSON, GeoPackage, JSON lines and Parquet, written atomically."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, get_args

import duckdb

from geographer.base.atomic_files import translate_os_errors, write_atomic
from geographer.base.errors import StorageError, UsageError
from geographer.outputs.table_text import (
    format_csv_lines,
    format_geojson_features,
    format_json_lines,
    format_query_csv_lines,
    format_query_json_lines,
    write_parquet,
)
from geographer.storage.queries.read_tables import UserQuery
from geographer.storage.queries.revision import Revision
from geographer.storage.queries.selection import TableFilter

TableFormat = Literal["csv", "tsv", "geojson", "gpkg", "json", "parquet"]

SUFFIXES: Final[dict[str, TableFormat]] = {
    ".csv": "csv",
    **dict.fromkeys((".tsv", ".tab"), "tsv"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "json"),
    **dict.fromkeys((".parquet", ".geoparquet", ".pq"), "parquet"),
    ".geojson": "geojson",
    ".gpkg": "gpkg",
}
"""The formats that the suffixes of files mean."""
_DELIMITERS: Final[dict[str, str]] = {"csv": ",", "tsv": "\t"}


def choose_format(path: Path, table_format: str | None) -> TableFormat:
    """Return the format to write a file in: the given one, or else that of the suffix; `UsageError` if unknown."""
    formats = get_args(TableFormat)
    if table_format is None:
        if (suffix := path.suffix.lower()) not in SUFFIXES:
            raise UsageError(
                f"unknown suffix '{suffix}' of '{path}'. Pass --format, or use one of {', '.join(SUFFIXES)}."
            )
        return SUFFIXES[suffix]
    if table_format not in formats:
        raise UsageError(f"invalid format {table_format!r}. Use one of {', '.join(formats)}.")
    return table_format  # type: ignore[return-value]


def write_table_file(
    revision: Revision, table: str, table_filter: TableFilter, path: Path, table_format: TableFormat
) -> None:
    """Write a table's filtered rows to a file, which is replaced when the new one is complete.

    Raises:
        ConflictError: another program has the GeoPackage open.
        StorageError: the file cannot be written.
        UsageError: the table has no geometry, which the format needs.
    """
    target = _resolve_target(path)
    if table_format == "parquet":
        write_parquet(revision, table, table_filter, target)
    elif table_format == "gpkg":
        _write_geopackage(revision, table, table_filter, target)
    else:
        write_lines(path, format_table_lines(revision, table, table_filter, table_format))


def format_query_lines(user_query: UserQuery, table_format: str) -> list[str]:
    """Return the lines of a file with the rows of a user's SELECT: CSV, TSV or JSON lines."""
    if table_format in ("csv", "tsv"):
        return format_query_csv_lines(user_query, _DELIMITERS[table_format])
    if table_format == "json":
        return format_query_json_lines(user_query)
    raise UsageError(f"the result of sql cannot be written as {table_format}. Use csv, tsv, json or parquet.")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines to a file atomically; to a device or a pipe, such as /dev/stdout, directly."""
    target, text = _resolve_target(path), "".join(f"{line}\n" for line in lines)
    if path.is_relative_to("/dev") or (target.exists() and not target.is_file()):
        with translate_os_errors(path), path.open("a", encoding="utf-8") as file:
            file.write(text)
    else:
        write_atomic(target, text.encode())


def format_table_lines(
    revision: Revision, table: str, table_filter: TableFilter, table_format: TableFormat
) -> list[str]:
    """Return the lines of a file with a table's filtered rows: CSV, TSV, GeoJSON or JSON lines."""
    if table_format in ("csv", "tsv"):
        return format_csv_lines(revision, table, table_filter, _DELIMITERS[table_format])
    if table_format == "geojson":
        features = format_geojson_features(revision, table, table_filter)
        return ['{"type": "FeatureCollection", "features": [', ",\n".join(features), "]}"]
    if table_format == "json":
        return format_json_lines(revision, table, table_filter)
    raise UsageError(f"--format {table_format} cannot be printed. Pass --output FILE.")


def _resolve_target(path: Path) -> Path:
    """Return the file to replace, which a symbolic link names; `StorageError` if it cannot be a file."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise StorageError(f"cannot write '{path}': '{path.parent}' is not a folder. Choose another --output.")
    if target.is_dir():
        raise StorageError(f"cannot write '{path}': it is a folder. Choose another --output.")
    return target


def _write_geopackage(revision: Revision, table: str, table_filter: TableFilter, target: Path) -> None:
    from geographer.outputs.geopackage import write_geopackage

    try:
        write_geopackage(revision, table, table_filter, target)
    except (duckdb.IOException, OSError) as error:
        raise StorageError(f"cannot write '{target}': {error}") from error
