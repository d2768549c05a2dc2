"""Plan the `patch_applied` event: merge each object with the head, then decide what follows for derived ones."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from geographer.base.errors import ConflictError
from geographer.base.text import format_count
from geographer.diff.patch.model import ROW_PARTS, Patch, Values
from geographer.diff.patch.revision_values import ObjectKey, ObjectVersion
from geographer.operations.apply.checks import check_content, check_raster, check_references
from geographer.operations.apply.class_values import check_classes, resolve_class_values
from geographer.operations.apply.conflicts import ObjectConflict, PatchConflictError
from geographer.operations.apply.derived import is_derived, plan_derived_removals, read_dependents
from geographer.operations.apply.events import PatchApplied, ResolvedConflict
from geographer.operations.apply.files import FoundFiles, NeededFile, find_files, locate_files, make_needed_file
from geographer.operations.apply.head import get_values, read_head_versions
from geographer.operations.apply.orders import OrderReference, find_order_reference, make_orders, place_added_again
from geographer.operations.apply.payload import make_event
from geographer.operations.apply.recipes import check_collections, plan_recipes
from geographer.operations.apply.rows import AppliedRows, RowChange, Rows, count_rows, make_row, make_tables
from geographer.operations.apply.three_way import MergedObject, OnConflict, merge_object
from geographer.storage.log.read import read_event
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change


def plan_patch(revision: Revision, patch: Patch, on_conflict: OnConflict) -> "PatchPlan":
    """Plan what applying a patch to the head, which is open, does.

    Raises:
        ConflictError: The patch is of another dataset; objects are in conflict, and `on_conflict` is 'fail'; or a taken
            feature has a class, or a taken raster a collection, that the head has otherwise.
        CorruptError: Objects of the patch refer to others that are not there, or it does not lead to the content that
            it names.
    """
    if read_event(revision.connection, 1).digest != patch.header.dataset:
        raise ConflictError(
            "the patch is of another dataset: it starts with another first event. To take over another dataset's "
            "objects, use: geographer import dataset"
        )
    ours = read_head_versions(revision, patch.changes)
    merged, conflicts, reference = _merge_objects(revision, patch, ours, on_conflict)
    if conflicts and on_conflict == "fail":
        raise PatchConflictError(conflicts)
    is_moved = reference is None
    applied = _plan_rows(revision, patch, merged, ours, is_moved=is_moved)
    counts = Counter(item.status for item in merged)
    event = msgspec.structs.replace(
        make_event(revision, patch, applied, is_moved=is_moved),
        already_applied=counts["equal"],
        combined=counts["combined"],
        on_conflict=on_conflict,
        conflicts=[ResolvedConflict(item.table, dict(item.key), item.column) for item in conflicts],
    )
    if reference is not None and (applied.rows or not event.is_empty):
        order, applied.added_again = make_orders(revision, reference, patch.header, patch.changes, applied.rows)
        event = msgspec.structs.replace(event, order=order)
    plan = PatchPlan(revision, event, applied, {item.change[:2]: item.ours for item in merged})
    if not is_moved:
        check_content(revision, make_tables(applied.rows), patch.header.new.content_digest)
    return plan


def _merge_objects(
    revision: Revision, patch: Patch, ours: Mapping[ObjectKey, ObjectVersion], on_conflict: OnConflict
) -> tuple[list[MergedObject], list[ObjectConflict], OrderReference | None]:
    """Return the objects merged with the head, and their conflicts; without a reference, the head has moved."""
    merged = [merge_object(change, get_values(ours, change), on_conflict) for change in patch.changes]
    all_clean = all(item.status in ("equal", "clean") for item in merged)
    if all_clean and revision.compute_content_digest() == patch.header.old.content_digest:
        reference = find_order_reference(revision, patch.header, patch.changes)
        if reference is not None:
            return merged, [conflict for item in merged for conflict in item.conflicts], reference
    declared = [item for item in merged if not is_derived(item.change)]
    merged = resolve_class_values(revision, declared, on_conflict)
    return merged, [conflict for item in merged for conflict in item.conflicts], None


def _plan_rows(
    revision: Revision,
    patch: Patch,
    merged: list[MergedObject],
    ours: Mapping[ObjectKey, ObjectVersion],
    *,
    is_moved: bool,
) -> AppliedRows:
    """Return the rows of the event, checked: what they refer to is there."""
    applied = AppliedRows()
    for item in merged:
        if item.is_taken and item.change.table in ROW_PARTS and item.change.table != "recipe_input":
            applied.rows[item.change[:2]] = make_row(item)
    plan_recipes(applied, merged, ours)
    check_classes(revision, applied)
    check_collections(revision, applied)
    check_references(revision, applied.rows)
    if is_moved and (applied.rows or applied.recipes or applied.removed_recipes):
        plan_derived_removals(revision, applied, patch, merged)
    return applied


class PatchPlan:
    """The rows to record, before it is known which of the files that they need can be found."""

    def __init__(
        self,
        revision: Revision,
        event: PatchApplied,
        applied: AppliedRows,
        old_values: Mapping[ObjectKey, Values | None],
    ) -> None:
        self.event, self._applied = event, applied
        self._needed = [*_iter_needed_files(applied.rows, old_values)]
        query = "SELECT DISTINCT md5 FROM state.raster WHERE md5 IN (SELECT unnest($md5s::VARCHAR[]))"
        known = revision.fetch_rows(query, {"md5s": [file.checksums.md5 for file in self._needed]})
        self._known_md5s = {md5 for (md5,) in known}
        self._old_values, self._position = old_values, revision.position + 1
        self._dependents = read_dependents(revision, applied.rows)

    @property
    def is_empty(self) -> bool:
        """Whether the head has all that the patch changes."""
        return not self._applied.rows and self.event.is_empty

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Fetch files that only the remote has, and leave out derived objects whose bytes are nowhere.

        See `find_files` for errors.
        """
        found = find_files(context.root, self._needed)
        self._check_new_rasters(context.root, found)
        rows, left_out = self._leave_out(found.missing)
        event = count_rows(self.event, rows)
        order = place_added_again(event.order, self._applied.added_again, rows, self._position)
        event = msgspec.structs.replace(event, order=order)
        if left_out:
            warning = (
                f"{format_count(left_out, 'derived object')} left out, because the bytes of their files are not "
                "available. Make them with: geographer update"
            )
            event = msgspec.structs.replace(event, left_out=left_out, warnings=[*event.warnings, warning])
        return Change(event, make_tables(rows), found.files)

    def _check_new_rasters(self, root: Path, found: FoundFiles) -> None:
        """Check what rows say of rasters whose bytes the log has not seen; see `check_raster`."""
        new = [file for file in self._needed if file.object[0] == "raster_change" and file.object not in found.missing]
        for file, path in locate_files(
            root, found, [file for file in new if file.checksums.md5 not in self._known_md5s]
        ):
            values = self._applied.rows[file.object].values
            if values is not None:
                check_raster(file.raster_id, values, path)

    def _leave_out(self, missing: set[ObjectKey]) -> tuple[Rows, int]:
        """Return the rows without objects whose files are missing, and without what was made from these."""
        rows = dict(self._applied.rows)
        absent = {key[1][0] for key in missing if key[0] == "raster_change"}
        labels = {key[1] for key in missing if key[0] == "label_change"}
        is_growing = True
        while is_growing:
            chips = {
                key[1][0]
                for key, row in rows.items()
                if key[0] == "raster_change" and row.values and row.values["parent_id"] in absent
            }
            is_growing, absent = not chips <= absent, absent | chips
        left_out = 0
        for key, row in self._applied.rows.items():
            table, names = key
            is_absent = (table == "raster_change" and names[0] in absent) or (
                table in ("label_change", "label_object_change") and (names[1] in absent or names[:2] in labels)
            )
            if row.values is not None and is_absent:
                left_out += 1
                del rows[key]
                if self._old_values.get(key) is not None:
                    rows[key] = RowChange("removed", None)
        for key in self._dependents:
            table, names = key
            is_kept = table == "split_change" and rows.get(("raster_change", (names[1],)), RowChange("", None)).values
            if key not in rows and not is_kept and (names[1] in absent if table != "split_change" else False):
                rows[key] = RowChange("removed", None)
        return rows, left_out


def _iter_needed_files(rows: Rows, old_values: Mapping[ObjectKey, Values | None]) -> Iterator[NeededFile]:
    for key, row in rows.items():
        if key[0] in ("raster_change", "label_change") and row.values is not None:
            derived = key[0] == "label_change" or row.values["parent_id"] is not None
            if file := make_needed_file(key, row.values, old_values.get(key), is_derived=derived):
                yield file
