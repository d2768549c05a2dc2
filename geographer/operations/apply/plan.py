"""Plan the `patch_applied` event: merge each object with the head, then decide what follows for derived ones."""

from base64 import b64decode
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from geographer.base.errors import ConflictError, quote_objects
from geographer.base.text import format_count
from geographer.diff.patch.model import KEYS, RECIPE, REMOVAL, ROW_PARTS, VALUES, Order, Patch, PatchChange, Values
from geographer.diff.patch.revision_values import (
    ObjectKey,
    ObjectVersion,
    fetch_logged_versions,
    read_recipe_versions,
)
from geographer.operations.apply.columns import plan_columns
from geographer.operations.apply.conflicts import PatchConflictError, make_conflict
from geographer.operations.apply.events import (
    AppliedPatch,
    ColumnNames,
    ObjectOrders,
    PatchApplied,
    PatchSide,
    ResolvedConflict,
)
from geographer.operations.apply.files import NeededFile, find_files, make_needed_file
from geographer.operations.apply.three_way import MergedObject, OnConflict, merge_object
from geographer.planning.class_values import read_class_values
from geographer.planning.recipe import RECIPE_CLASSES, load_recipe
from geographer.planning.recipe_events import ImportedRecipe
from geographer.planning.removed_rasters import make_dependent_removal_rows
from geographer.planning.user_columns import ObjectColumns
from geographer.storage.database.connection import register_table
from geographer.storage.events.payload import RecipeRecord
from geographer.storage.events.row_tables import KEY_COLUMNS, WKB_COLUMNS, make_row_table
from geographer.storage.log.read import read_event
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS: Final = ("class", "feature", "raster", "label", "label_object", "split")
_PIXEL_PARAMETERS: Final = ("bands", "pad_value")
"""Parameters of a cut that change the pixels of chips, but not their windows: update does not see that by itself."""


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


def plan_patch(revision: Revision, root: Path, patch: Patch, on_conflict: OnConflict) -> "PatchPlan":
    """Plan what applying a patch to the head, which is open, does.

    Raises:
        ConflictError: The patch is of another dataset; objects are in conflict, and `on_conflict` is 'fail'; or a taken
            feature has a class, or a taken raster a collection, that the head has otherwise.
    """
    if read_event(revision.connection, 1).digest != patch.header.dataset:
        raise ConflictError(
            "the patch is of another dataset: it starts with another first event. To take over another dataset's "
            "objects, use: geographer import dataset"
        )
    ours = _read_head(revision, patch.changes)
    merged = [merge_object(change, _get_values(ours, change), on_conflict) for change in patch.changes]
    all_clean = all(item.status in ("equal", "clean") for item in merged)
    is_moved = not all_clean or revision.compute_content_digest() != patch.header.old.content_digest
    declared = [item for item in merged if not is_derived(item.change)]
    merged = _resolve_class_values(revision, declared, on_conflict) if is_moved else merged
    conflicts = [
        conflict for item in merged for conflict in item.conflicts if not (is_moved and is_derived(item.change))
    ]
    if conflicts and on_conflict == "fail":
        raise PatchConflictError(conflicts)
    applied = AppliedRows()
    for item in merged:
        if item.is_taken and item.change.table in ROW_PARTS and item.change.table != "recipe_input":
            applied.rows[item.change[:2]] = _make_row(item)
    _plan_recipes(applied, merged, ours)
    if is_moved:
        _check_classes(revision, applied)
        _check_collections(revision, applied)
        if applied.rows or applied.recipes or applied.removed_recipes:
            _plan_derived_removals(revision, applied, patch, merged)
    counts = Counter(item.status for item in merged)
    event = _make_event(revision, patch, applied, is_moved=is_moved)
    is_needed = not is_moved and (applied.rows or not event.is_empty)
    event = msgspec.structs.replace(
        event,
        order=_make_orders(merged, revision.position) if is_needed else event.order,
        already_applied=counts["equal"],
        combined=counts["combined"],
        on_conflict=on_conflict,
        conflicts=[ResolvedConflict(item.table, dict(item.key), item.column) for item in conflicts],
    )
    old_values = {item.change[:2]: item.ours for item in merged}
    if is_needed:
        applied.added_again = {
            item.change[:2]: item.change.new_order
            for item in merged
            if item.ours is not None and item.change.new_order and item.change.new_order[0] > revision.position
        }
    return PatchPlan(revision, root, event, applied, old_values)


def is_derived(change: PatchChange) -> bool:
    """Return whether recipes make the object: a chip, a label, an object on a label, an assignment to a subset."""
    return change.is_chip or change.table in ("label_change", "label_object_change", "split_change")


class PatchPlan:
    """The rows to record, before it is known which of the files that they need can be found."""

    def __init__(
        self,
        revision: Revision,
        root: Path,
        event: PatchApplied,
        applied: AppliedRows,
        old_values: Mapping[ObjectKey, Values | None],
    ) -> None:
        self.event, self._applied, self._root = event, applied, root
        self._needed = [*_iter_needed_files(applied.rows, old_values)]
        self._old_values, self._position = old_values, revision.position + 1
        self._dependents = _read_dependents(revision, applied.rows)

    @property
    def is_empty(self) -> bool:
        """Whether the head has all that the patch changes."""
        return not self._applied.rows and self.event.is_empty

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Fetch files that only the remote has, and leave out derived objects whose bytes are nowhere.

        See `find_files` for errors.
        """
        found = find_files(context.root, self._needed)
        rows, left_out = self._leave_out(found.missing)
        event = count_rows(self.event, rows)
        event = msgspec.structs.replace(event, order=self._add_orders(event.order, rows))
        if left_out:
            warning = (
                f"{format_count(left_out, 'derived object')} left out, because the bytes of their files are not "
                "available. Make them with: geographer update"
            )
            event = msgspec.structs.replace(event, left_out=left_out, warnings=[*event.warnings, warning])
        return Change(event, make_tables(rows), found.files)

    def _add_orders(self, orders: ObjectOrders, rows: Rows) -> ObjectOrders:
        """Add the places of objects that were added again: among the new ones, whose places are those of their rows."""
        added: dict[str, dict[str, Order]] = {"feature_change": {}, "raster_change": {}}
        places = {
            table: sorted(_make_sort_key(key[1], rows[key]) for key in rows if key[0] == table) for table in added
        }
        for (table, key), order in self._applied.added_again.items():
            if table in added:
                place = bisect_left(places[table], (True, order, key))
                added[table][key[0]] = (self._position, place)
        return ObjectOrders(orders.feature | added["feature_change"], orders.raster | added["raster_change"])

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


def make_tables(rows: Rows) -> "dict[str, pa.Table]":
    """Return the rows as tables of the log: removals first, then in the order of addition."""
    by_table: dict[str, list[tuple[tuple[str, ...], RowChange]]] = defaultdict(list)
    for (table, key), row in rows.items():
        by_table[table].append((key, row))
    tables = {}
    for table, items in by_table.items():
        items.sort(key=lambda item: _make_sort_key(*item))
        columns: dict[str, list[Any]] = {"change": [row.change for _, row in items]}
        for index, name in enumerate(KEY_COLUMNS[table]):
            columns[name] = [key[index] for key, _ in items]
        for name in VALUES[table]:
            values = [row.values and row.values[name] for _, row in items]
            is_wkb = name in WKB_COLUMNS
            columns[name] = [value and b64decode(value) for value in values] if is_wkb else values
        tables[table] = make_row_table(table, columns)
    return tables


def _make_sort_key(key: tuple[str, ...], row: RowChange) -> tuple[bool, Order, tuple[str, ...]]:
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


def _make_row(item: MergedObject) -> RowChange:
    if item.values is None:
        # Removed classes keep their value in the log.
        return RowChange("removed", item.ours if item.change.table == "class_change" else None)
    return RowChange("added" if item.ours is None else "changed", item.values, item.change.new_order)


def _make_orders(merged: Iterable[MergedObject], position: int) -> ObjectOrders:
    """Return the places of the objects that would otherwise follow all others, or keep another place."""
    orders: dict[str, dict[str, Order]] = {"feature_change": {}, "raster_change": {}}
    for item in merged:
        change = item.change
        if change.table not in orders or change.new_order is None:
            continue
        if change.new_order[0] <= position:
            orders[change.table][change.key[0]] = change.new_order
    return ObjectOrders(orders["feature_change"], orders["raster_change"])


def _read_head(revision: Revision, changes: Iterable[PatchChange]) -> dict[ObjectKey, ObjectVersion]:
    """Return the head's versions of the objects that a patch changes, and all its recipes with their inputs."""
    import pyarrow as pa

    keys = defaultdict(list)
    for change in changes:
        keys[change.table].append(change.key)
    versions = read_recipe_versions(revision)
    for kind in _KINDS:
        table = f"{kind}_change"
        if keys[table]:
            names = KEYS[table]
            parts = zip(*keys[table], strict=True)
            columns = {name: pa.array(part, pa.string()) for name, part in zip(names, parts, strict=True)}
            with register_table(revision.connection, "patch_key", pa.table(columns)):
                source = f"(FROM current_{kind} SEMI JOIN patch_key USING ({', '.join(names)}))"
                for key, values in fetch_logged_versions(revision, kind, source).items():
                    versions[table, key] = ObjectVersion(values)
    return versions


def _get_values(versions: Mapping[ObjectKey, ObjectVersion], change: PatchChange) -> Values | None:
    version = versions.get(change[:2])
    return None if version is None else version.values


def _plan_recipes(
    applied: AppliedRows, merged: Iterable[MergedObject], ours: Mapping[ObjectKey, ObjectVersion]
) -> None:
    """Plan the recipes to record and to remove, each with all its inputs, and the removals to remember and forget."""
    after = {key: version.values for key, version in ours.items() if key[0] in (RECIPE, "recipe_input")}
    orders = {key: version.order for key, version in ours.items() if key[0] == "recipe_input"}
    recorded: dict[str, Order] = {}
    for item in merged:
        change = item.change
        if not item.is_taken:
            continue
        if change.table == REMOVAL:
            (applied.forgotten if item.values is None else applied.remembered).append(change.key[0])
        elif change.table in (RECIPE, "recipe_input"):
            after.pop(change[:2], None)
            if item.values is not None:
                after[change[:2]] = item.values
            if change.table == "recipe_input":
                orders[change[:2]] = change.new_order or orders.get(change[:2])
            if change.table == RECIPE and item.values is None:
                applied.removed_recipes.append(change.key[0])
            else:
                order = change.new_order if change.table == RECIPE and item.ours is None else None
                recorded[change.key[0]] = order or recorded.get(change.key[0], (0, 0))
    for name, _ in sorted(recorded.items(), key=lambda item: (item[1], item[0])):
        if values := after.get((RECIPE, (name,))):
            record = RecipeRecord(name, values["kind"], dict(values["parameters"]))
            load_recipe(record)
            form = UNSET if values["form"] is None else values["form"]
            applied.recipes.append(ImportedRecipe(record.name, record.kind, record.parameters, form))
            for key, input_values in after.items():
                if key[0] == "recipe_input" and key[1][0] == name:
                    applied.rows[key] = RowChange("added", input_values, orders.get(key))


def _resolve_class_values(
    revision: Revision, merged: list[MergedObject], on_conflict: OnConflict
) -> list[MergedObject]:
    """Return the declared objects with distinct class values: the head may have given a value to another class."""
    values = read_class_values(revision)
    taken = {item.change.key[0]: item for item in merged if item.change.table == "class_change"}
    final = {name: value for name, value in values.items() if name not in taken or taken[name].values is not None}
    result = []
    for item in merged:
        if item.change.table != "class_change" or not item.is_taken or item.values is None:
            result.append(item)
            continue
        name, value = item.change.key[0], item.values["value"]
        owners = sorted(other for other, number in final.items() if number == value and other != name)
        if owners:
            free = max([*final.values(), value]) + 1
            conflict = make_conflict(item.change, "value", None, {"class": owners[0]}, value)
            if on_conflict == "theirs":
                change = PatchChange("class_change", (owners[0],), {"value": value}, {"value": free})
                result.append(MergedObject(change, {"value": value}, "clean", {"value": free}))
                final[owners[0]] = free
            else:
                item = item._replace(values={"value": free})
            item = item._replace(status="conflict", conflicts=(*item.conflicts, conflict))
        final[name] = item.values["value"] if item.values else value
        result.append(item)
    return result


def _check_classes(revision: Revision, applied: AppliedRows) -> None:
    """Keep removed classes that features of the head have; raise if a taken feature has a class that does not exist."""
    classes = {*read_class_values(revision)}
    rows = {key[1][0]: row for key, row in applied.rows.items() if key[0] == "class_change"}
    changed = [key[1][0] for key in applied.rows if key[0] == "feature_change"]
    query = "SELECT DISTINCT class FROM current_feature WHERE feature_id NOT IN (SELECT unnest($ids::VARCHAR[]))"
    used = {name for (name,) in revision.fetch_rows(query, {"ids": changed})}
    if kept := sorted(name for name, row in rows.items() if row.change == "removed" and name in used):
        for name in kept:
            del applied.rows["class_change", (name,)]
        applied.warnings.append(f"{quote_objects('class', kept, 'is|are')} not removed: features here have it")
    removed = {name for name, row in rows.items() if row.change == "removed"}.difference(kept)
    classes = (classes | rows.keys()) - removed
    for (table, key), row in applied.rows.items():
        if table == "feature_change" and row.values and row.values["class"] not in classes:
            name = row.values["class"]
            raise ConflictError(
                f"feature '{key[0]}' has the class '{name}' in the patch, which the head no longer has. Add it again: "
                f"geographer add classes {name}"
            )


def _check_collections(revision: Revision, applied: AppliedRows) -> None:
    """Raise if a name would be both a collection of added rasters and a recipe of chips."""
    query = "SELECT DISTINCT collection FROM current_raster WHERE recipe IS NULL"
    added = {name for (name,) in revision.fetch_rows(query)}
    query = "SELECT name FROM recipes WHERE starts_with(kind, 'cut ')"
    cuts = {name for (name,) in revision.fetch_rows(query)} - {*applied.removed_recipes}
    cuts |= {recipe.name for recipe in applied.recipes if RECIPE_CLASSES[recipe.kind].makes_chips}
    added |= {
        row.values["collection"]
        for key, row in applied.rows.items()
        if key[0] == "raster_change" and row.values and row.values["recipe"] is None
    }
    if clashing := sorted(cuts & added):
        raise ConflictError(
            f"'{clashing[0]}' would be a collection of added rasters and a recipe of chips. Remove or rename one."
        )


def _plan_derived_removals(
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


def _read_dependents(revision: Revision, rows: Rows) -> list[ObjectKey]:
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
            columns = [rows[name].to_pylist() for name in KEY_COLUMNS[table]]
            yield from ((table, key) for key in zip(*columns, strict=True))


def _iter_needed_files(rows: Rows, old_values: Mapping[ObjectKey, Values | None]) -> Iterator[NeededFile]:
    for key, row in rows.items():
        if key[0] in ("raster_change", "label_change") and row.values is not None:
            derived = key[0] == "label_change" or row.values["parent_id"] is not None
            if file := make_needed_file(key, row.values, old_values.get(key), is_derived=derived):
                yield file


def _make_event(revision: Revision, patch: Patch, applied: AppliedRows, *, is_moved: bool) -> PatchApplied:
    columns, dropped = {}, {}
    for subject in ("feature", "raster"):
        sides = getattr(patch.header.columns, subject)
        ours = revision.list_user_columns(subject)
        changed, dropped[subject] = plan_columns(sides, ours)
        # Rows are checked against the types that their event declares.
        has_rows = any(key[0] == f"{subject}_change" for key in applied.rows)
        kept = {name: kind for name, kind in ours.items() if name not in dropped[subject]} if has_rows else {}
        columns[subject] = kept | changed
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
