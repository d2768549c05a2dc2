"""User columns: names, types and prefixes of the columns that come from input data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from geographer.storage.log.row_tables import ROW_TABLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

PROBABILITY_PREFIX: Final = "prob_of_class_"
"""Prefix of the feature columns that hold class probabilities; the class name follows."""

RESERVED_COLUMNS: Final = frozenset(ROW_TABLES["raster_change"]) | {"footprint"}
"""Built-in columns of rasters, which a user column must not hide."""


def infer_column_type(values: Sequence[Any]) -> str:
    """Return the narrowest DuckDB type that holds all of `values`: strings, numbers and booleans."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "BOOLEAN"
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in values):
        return "BIGINT"
    return "DOUBLE" if kinds <= {int, float} else "VARCHAR"


def deduplicate_column_names(names: Iterable[str], reserved: Collection[str]) -> dict[str, str]:
    """Map each name to a unique one: append underscores until it equals neither a reserved nor an earlier name.

    Names that differ only in case are equal, as in SQL.
    """
    unique_names: dict[str, str] = {}
    taken = {name.lower() for name in reserved}
    for name in dict.fromkeys(names):
        unique_name = name
        while unique_name.lower() in taken:
            unique_name += "_"
        taken.add(unique_name.lower())
        unique_names[name] = unique_name
    return unique_names
