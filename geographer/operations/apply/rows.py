"""Rows of an applied patch, and what its payload says beside them."""

from base64 import b64decode
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from geographer.diff.patch.model import VALUES, Order, Values
from geographer.diff.patch.revision_values import ObjectKey
from geographer.operations.apply.events import PatchApplied
from geographer.operations.apply.three_way import MergedObject
from geographer.planning.recipe_events import ImportedRecipe
from geographer.storage.events.row_tables import KEY_COLUMNS, WKB_COLUMNS, make_row_table

if TYPE_CHECKING:
    import pyarrow as pa


class RowChange(NamedTuple):
    """A row of the event: what it does, the new values, and the place in the order of addition."""

    change: str
    values: Values | None
    order: Order | None = None


Rows = dict[ObjectKey, RowChange]


@dataclass(slots=True)
class AppliedRows:
    """The rows of the event, and what the payload says beside them."""

    rows: Rows = field(default_factory=dict)
    recipes: list[ImportedRecipe] = field(default_factory=list)
    removed_recipes: list[str] = field(default_factory=list)
    remembered: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    added_again: dict[ObjectKey, Order] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def make_tables(rows: Rows) -> "dict[str, pa.Table]":
    """Return the rows as tables of the log: removals first, then in the order of addition."""
    by_table: dict[str, list[tuple[tuple[str, ...], RowChange]]] = defaultdict(list)
    for (table, key), row in rows.items():
        by_table[table].append((key, row))
    tables = {}
    for table, items in by_table.items():
        items.sort(key=lambda item: make_sort_key(*item))
        columns: dict[str, list[Any]] = {"change": [row.change for _, row in items]}
        for index, name in enumerate(KEY_COLUMNS[table]):
            columns[name] = [key[index] for key, _ in items]
        for name in VALUES[table]:
            values = [row.values and row.values[name] for _, row in items]
            is_wkb = name in WKB_COLUMNS
            columns[name] = [value and b64decode(value) for value in values] if is_wkb else values
        tables[table] = make_row_table(table, columns)
    return tables


def make_sort_key(key: tuple[str, ...], row: RowChange) -> tuple[bool, Order, tuple[str, ...]]:
    """Return by what the rows of a table are sorted."""
    return row.change != "removed", row.order or (0, 0), key


def count_rows(event: PatchApplied, rows: Rows) -> PatchApplied:
    """Return the event with the numbers of rows."""
    counts = Counter(table for table, _ in rows)
    return msgspec.structs.replace(
        event,
        classes=counts["class_change"],
        features=counts["feature_change"],
        rasters=counts["raster_change"],
        labels=counts["label_change"],
        splits=counts["split_change"],
    )


def make_row(item: MergedObject) -> RowChange:
    """Return the row of an object that applying changes."""
    if item.values is None:
        # Removed classes keep their value in the log.
        return RowChange("removed", item.ours if item.change.table == "class_change" else None)
    return RowChange("added" if item.ours is None else "changed", item.values, item.change.new_order)
