"""TODO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from geographer.storage.log.row_tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

RESERVED_COLUMNS: Final = frozenset(TABLES["raster_change"]) | {"footprint"}
"""What the columns of rasters are called already."""


def common_column_type(values: Sequence[Any]) -> str:
    """The type of an own column that holds all of `values`: texts, numbers and truth values."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "BOOLEAN"
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in values):
        return "BIGINT"
    return "DOUBLE" if kinds <= {int, float} else "VARCHAR"


def deduplicate_column_names(names: Iterable[str], reserved: Collection[str]) -> dict[str, str]:
    """Each name of a person's column to the one that it gets: with underscores until it hides no other.

    SQL does not tell `Class` from `class`, so neither does this.
    """
    given: dict[str, str] = {}
    taken = {name.lower() for name in reserved}
    for name in dict.fromkeys(names):
        free = name
        while free.lower() in taken:
            free += "_"
        taken.add(free.lower())
        given[name] = free
    return given
