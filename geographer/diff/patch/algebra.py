"""Algebra of patches: the inverse of one, and two in sequence as one."""

from __future__ import annotations

import msgspec

from geographer.base.errors import ConflictError
from geographer.diff.patch.model import ColumnSides, Patch, PatchChange, PatchColumns, make_patch


def invert_patch(patch: Patch) -> Patch:
    """Return the patch that undoes another."""
    header = patch.header
    columns = PatchColumns(
        *(ColumnSides(sides.new, sides.old) for sides in (header.columns.feature, header.columns.raster))
    )
    inverted = msgspec.structs.replace(header, old=header.new, new=header.old, columns=columns)
    return make_patch(inverted, (_invert_change(change) for change in patch.changes))


def concat_patches(first: Patch, second: Patch) -> Patch:
    """Return one patch that does what `first` does and then `second`; a patch and its inverse give an empty one.

    Raises:
        ConflictError: `second` does not start where `first` ends: the patches are of different datasets, or the new
            value of an object in `first` is not its old value in `second`.
    """
    if first.header.dataset != second.header.dataset:
        raise ConflictError("the patches are of different datasets. Join patches of one dataset.")
    first_changes = {change[:2]: change for change in first.changes}
    joined = dict(first_changes)
    for change in second.changes:
        before = first_changes.get(change[:2])
        joined[change[:2]] = change if before is None else _join_changes(before, change)
    _require_sequence(first, second)
    columns = PatchColumns(
        ColumnSides(first.header.columns.feature.old, second.header.columns.feature.new),
        ColumnSides(first.header.columns.raster.old, second.header.columns.raster.new),
    )
    return make_patch(msgspec.structs.replace(first.header, new=second.header.new, columns=columns), joined.values())


def _invert_change(change: PatchChange) -> PatchChange:
    old, new, old_order, new_order = change[2:]
    return change._replace(old=new, new=old, old_order=new_order, new_order=old_order)


def _join_changes(first: PatchChange, second: PatchChange) -> PatchChange:
    """Return both changes of an object as one. An order that a change leaves out is that of the other change."""
    is_same_order = None in (first.new_order, second.old_order) or first.new_order == second.old_order
    if first.new != second.old or not is_same_order:
        name = f"{first.table.removesuffix('_change').replace('_', ' ')} '{first.object_id}'"
        raise ConflictError(
            f"cannot join the patches: the new value of {name} in the first is not its old value in the second. The "
            "second patch must start at the revision that the first leads to."
        )
    old_order = first.old_order or (second.old_order if first.old is not None else None)
    new_order = second.new_order or (first.new_order if second.new is not None else None)
    return PatchChange(first.table, first.key, first.old, second.new, old_order, new_order)


def _require_sequence(first: Patch, second: Patch) -> None:
    end, start = first.header, second.header
    columns = (end.columns.feature.new, end.columns.raster.new), (start.columns.feature.old, start.columns.raster.old)
    if end.new.content_digest != start.old.content_digest or columns[0] != columns[1]:
        raise ConflictError(
            f"cannot join the patches: the first leads to revision {end.new.digest[:12]}, and the second starts at "
            f"{start.old.digest[:12]}, which has other content. Join patches of consecutive revisions."
        )
