"""Derived objects of an applied patch: what recipes made that goes with what the patch changes."""

from collections.abc import Iterable, Iterator
from typing import Final

from geographer.diff.patch.model import RECIPE, Patch, PatchChange
from geographer.diff.patch.revision_values import ObjectKey
from geographer.operations.apply.rows import AppliedRows, RowChange, Rows
from geographer.operations.apply.three_way import MergedObject
from geographer.planning.removed_rasters import make_dependent_removal_rows
from geographer.storage.events.row_tables import KEY_COLUMNS
from geographer.storage.queries.revision import Revision

_PIXEL_PARAMETERS: Final = ("bands", "pad_value")
"""Parameters of a cut that change the pixels of chips, but not their windows: update does not see that by itself."""


def is_derived(change: PatchChange) -> bool:
    """Return whether recipes make the object: a chip, a label, an object on a label, an assignment to a subset."""
    return change.is_chip or change.table in ("label_change", "label_object_change", "split_change")


def plan_derived_removals(
    revision: Revision, applied: AppliedRows, patch: Patch, merged: Iterable[MergedObject]
) -> None:
    """Remove what recipes made that the patch removes, or makes otherwise in a way that update cannot see."""
    outdated = {*applied.removed_recipes} & {
        row_change.old["recipe"] if row_change.table == "raster_change" else row_change.key[0]
        for row_change in patch.changes
        if is_derived(row_change) and row_change.new is None and row_change.old is not None
    }
    for item in merged:
        if item.change.table == RECIPE and item.is_taken and item.ours is not None and item.values is not None:
            before, after = item.ours["parameters"], item.values["parameters"]
            is_label = item.values["kind"].startswith("label")
            if any(before.get(name) != after.get(name) for name in _PIXEL_PARAMETERS) or (is_label and before != after):
                outdated.add(item.change.key[0])
    queries = {
        "raster_change": "SELECT raster_id FROM current_raster WHERE parent_id IS NOT NULL AND recipe = $name",
        "label_change": "SELECT label, raster_id FROM current_label WHERE label = $name",
        "label_object_change": "SELECT label, raster_id, feature_id FROM current_label_object WHERE label = $name",
    }
    removed_queries = {"split_change": "SELECT split, raster_id FROM current_split WHERE split = $name"}
    for name in sorted(outdated):
        for table, query in {**queries, **(removed_queries if name in applied.removed_recipes else {})}.items():
            for key in revision.fetch_rows(query, {"name": name}):
                applied.rows[table, key] = RowChange("removed", None)


def read_dependents(revision: Revision, rows: Rows) -> list[ObjectKey]:
    """Add the removal of labels and assignments of removed rasters; return those of rasters that may be left out."""
    removed = [key[1][0] for key, row in rows.items() if key[0] == "raster_change" and row.values is None]
    for table, key in _iter_dependents(revision, removed):
        rows.setdefault((table, key), RowChange("removed", None))
    chips = [
        key[1][0] for key, row in rows.items() if key[0] == "raster_change" and row.values and row.values["parent_id"]
    ]
    return [*_iter_dependents(revision, chips)]


def _iter_dependents(revision: Revision, raster_ids: list[str]) -> Iterator[ObjectKey]:
    if raster_ids:
        for table, rows in make_dependent_removal_rows(revision, raster_ids).items():
            columns = [rows.list_values(name) for name in KEY_COLUMNS[table]]
            yield from ((table, key) for key in zip(*columns, strict=True))
