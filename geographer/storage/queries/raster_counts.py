"""Raster counts: how many rasters contain, and how many contain or intersect, each feature of a revision."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

COUNT_COLUMNS: Final = {"raster_count": "BIGINT", "intersecting_raster_count": "BIGINT"}
"""The columns that the table `features` has only where a filter or a list of columns names them, with their types."""

_QUERY: Final = Path(__file__).with_name("raster_counts.sql")
_SOURCES: Final = {"raster_count": '"(containing)"', "intersecting_raster_count": '"(meeting)"'}


def list_count_columns(table: str, columns: Mapping[str, str]) -> dict[str, str]:
    """Return the count columns, with types, that a table with these columns can have; user columns come first."""
    known = {name.lower() for name in columns}
    return {name: kind for name, kind in COUNT_COLUMNS.items() if table == "features" and name not in known}


def build_counted_source(source: str, names: Collection[str] = COUNT_COLUMNS, rasters: str = "") -> str:
    """Return a view of features as a subquery that also has the named count columns; `rasters` restricts the edges."""
    columns = ", ".join(f"coalesce({_SOURCES[name]}, 0) AS {name}" for name in names)
    return f"({_QUERY.read_text().format(source=source, columns=columns, rasters=rasters)})"
