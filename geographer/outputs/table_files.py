"""Files of tables: CSV, GeoJSON, GeoPackage, JSON lines and Parquet, written atomically."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal, get_args

import duckdb

from geographer.base.atomic_files import write_atomic
from geographer.base.errors import StorageError, UsageError
from geographer.outputs.export import format_csv_lines, format_geojson_features, format_json_lines, write_parquet
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
) -> str | None:
    """Write a table's filtered rows to a file, which is replaced when the new one is complete; return a remark.

    Raises:
        StorageError: the file cannot be written.
        UsageError: the table has no geometry, which the format needs.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise StorageError(f"cannot write '{path}': '{path.parent}' is not a folder.")
    if target.is_dir():
        raise StorageError(f"cannot write '{path}': it is a folder.")
    if table_format == "parquet":
        write_parquet(revision, table, table_filter, target)
        return None
    if table_format == "gpkg":
        return _write_geopackage(revision, table, table_filter, target)
    _write_text(target, format_table_text(revision, table, table_filter, table_format))
    return None


def format_table_text(revision: Revision, table: str, table_filter: TableFilter, table_format: TableFormat) -> str:
    """Return the text of a file with a table's filtered rows: CSV, TSV, GeoJSON or JSON lines."""
    if table_format in ("csv", "tsv"):
        lines = format_csv_lines(revision, table, table_filter, "\t" if table_format == "tsv" else ",")
    elif table_format == "geojson":
        features = format_geojson_features(revision, table, table_filter)
        lines = ['{"type": "FeatureCollection", "features": [', ",\n".join(features), "]}"]
    else:
        lines = format_json_lines(revision, table, table_filter)
    return "".join(f"{line}\n" for line in lines)


def _write_geopackage(revision: Revision, table: str, table_filter: TableFilter, target: Path) -> str | None:
    from geographer.outputs.geopackage import write_geopackage

    try:
        return write_geopackage(revision, table, table_filter, target)
    except (duckdb.IOException, OSError) as error:
        raise StorageError(f"cannot write '{target}': {error}") from error


def _write_text(target: Path, text: str) -> None:
    """Write a text atomically; to a device or a pipe, such as /dev/stdout, directly."""
    if target.exists() and not target.is_file():
        target.write_text(text, encoding="utf-8")
    else:
        write_atomic(target, text.encode())
