"""Payload of an applied patch."""

from collections.abc import Iterable

from geographer.diff.patch.model import Patch
from geographer.operations.apply.columns import plan_columns
from geographer.operations.apply.derived import is_derived
from geographer.operations.apply.events import AppliedPatch, ColumnNames, ObjectOrders, PatchApplied, PatchSide
from geographer.operations.apply.rows import AppliedRows, count_rows
from geographer.planning.user_columns import ObjectColumns
from geographer.storage.events.row_tables import make_json_path
from geographer.storage.queries.revision import Revision


def make_event(revision: Revision, patch: Patch, applied: AppliedRows, *, is_moved: bool) -> PatchApplied:
    """Return the event of an applied patch, without orders and what is known of conflicts."""
    columns, dropped = _plan_object_columns(revision, patch, applied)
    header, warnings = patch.header, list(applied.warnings)
    makes_derived = any(is_derived(change) for change in patch.changes) or applied.recipes
    if is_moved and makes_derived and (applied.rows or applied.recipes):
        warnings.append(
            "the head is not the revision that the patch starts from: chips, labels and splits are not taken over. "
            "Make them with: geographer update"
        )
    old, new = (PatchSide(side.digest, side.content_digest) for side in (header.old, header.new))
    event = PatchApplied(
        patch=AppliedPatch(old, new, len(patch.changes)),
        moved=is_moved,
        columns=ObjectColumns(**columns),
        dropped_columns=ColumnNames(**dropped),
        recipes=applied.recipes,
        removed_recipes=applied.removed_recipes,
        remembered=applied.remembered,
        forgotten=applied.forgotten,
        order=ObjectOrders({}, {}),
        classes=0,
        features=0,
        rasters=0,
        labels=0,
        splits=0,
        already_applied=0,
        combined=0,
        left_out=0,
        on_conflict="fail",
        conflicts=[],
        warnings=warnings,
    )
    return count_rows(event, applied.rows)


def _plan_object_columns(
    revision: Revision, patch: Patch, applied: AppliedRows
) -> tuple[dict[str, dict[str, str]], dict[str, list[str]]]:
    """Return the columns to record, with their types, and those to drop, of features and of rasters."""
    columns: dict[str, dict[str, str]] = {}
    dropped: dict[str, list[str]] = {}
    for subject in ("feature", "raster"):
        sides = getattr(patch.header.columns, subject)
        ours = revision.list_user_columns(subject)
        changed, droppable = plan_columns(sides, ours)
        used = _list_used_columns(revision, subject, applied, set(droppable) - changed.keys())
        dropped[subject] = [name for name in droppable if name not in used]
        # Rows are checked against the types that their event declares.
        has_rows = any(key[0] == f"{subject}_change" for key in applied.rows)
        kept = {name: kind for name, kind in ours.items() if name not in dropped[subject]} if has_rows else {}
        columns[subject] = kept | changed
    return columns, dropped


def _list_used_columns(revision: Revision, subject: str, applied: AppliedRows, names: Iterable[str]) -> list[str]:
    """Return the columns of which objects have values that the patch does not change."""
    query = (
        f"SELECT true FROM current_{subject} WHERE json_exists(properties, $path) "  # noqa: S608
        f"AND {subject}_id NOT IN (SELECT unnest($ids::VARCHAR[])) LIMIT 1"
    )
    ids = [key[1][0] for key in applied.rows if key[0] == f"{subject}_change"]
    return [name for name in names if revision.fetch_rows(query, {"path": make_json_path(name), "ids": ids})]
