"""Plan resolutions of conflicts: the chosen values as rows, beside those that end the conflicts."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names, quote_objects
from geographer.operations.merge.classes import make_distinct, read_class_places
from geographer.operations.merge.columns import REQUIRED_COLUMNS, join_row, split_columns, split_row
from geographer.operations.merge.combine import make_column_payload, make_input_rows
from geographer.operations.merge.events import ConflictsResolved, MergedTag
from geographer.operations.merge.facts import RecipeState, SideFacts, read_facts_at
from geographer.operations.merge.files import list_needed_files
from geographer.operations.merge.merge import CombinedPlan, settle_conflict
from geographer.operations.merge.recipes import CombinedRecipes, find_recipe_fault, makes_other_objects
from geographer.operations.merge.resolution_files import read_resolution
from geographer.operations.merge.resolution_values import UserTypes
from geographer.operations.merge.splits import require_sound_splits
from geographer.planning.class_values import read_class_values
from geographer.planning.merge_conflicts import NumberedConflict, fetch_conflicts, make_resolved_rows
from geographer.planning.removed_rasters import make_dependent_removal_rows, make_removed_rows
from geographer.storage.database.connection import quote_identifier, register_table
from geographer.storage.events.row_tables import KEY_COLUMNS, ROW_TABLES, make_row_table
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import pyarrow as pa

_TABLES: Final = {"class": "class_change", "feature": "feature_change", "raster": "raster_change"}
_CHOICES: Final = ("ours", "theirs", "base", "smallest")
_MADE: Final = {
    "raster_change": "SELECT raster_id FROM current_raster WHERE parent_id IS NOT NULL AND recipe = $name",
    "label_change": "SELECT label, raster_id FROM current_label WHERE label = $name",
    "label_object_change": "SELECT label, raster_id, feature_id FROM current_label_object WHERE label = $name",
    "split_change": "SELECT split, raster_id FROM current_split WHERE split = $name",
}
Values = dict[str, str | None]
"""The chosen value of each conflict, by number, as JSON text."""


def plan_resolution(revision: Revision, numbers: Sequence[str], take: str, *, is_all: bool) -> CombinedPlan:
    """Plan the event that resolves conflicts which are open at the head.

    Raises:
        NotFoundError: no conflict of such a number is open.
        UsageError: the value cannot be taken for one of the conflicts, or the file is not what its subject needs.
        ConflictError: a class would have the value of another one, or a feature no class.
    """
    conflicts = _select_conflicts(revision, numbers, is_all=is_all)
    types = {subject: revision.list_user_columns(subject) for subject in ("feature", "raster")}
    chosen = {conflict.number: _choose_value(conflict, take, types) for conflict in conflicts}
    rows: dict[str, Any] = {}
    for subject, table in _TABLES.items():
        own = [item for item in conflicts if item.conflict.subject == subject]
        rows |= _make_object_rows(revision, table, own, chosen)
    if removed := [id for id, _ in _iter_removed(rows.get("raster_change"))]:
        dependent = make_dependent_removal_rows(revision, removed)
        rows |= {table: gone.to_arrow() for table, gone in dependent.items()}
    _make_values_distinct(revision, rows)
    _require_classes(revision, rows)
    facts = read_facts_at(revision, revision.position)
    recipes = _resolve_recipes(revision, facts, conflicts, chosen, rows)
    splits = [item for item in conflicts if item.conflict.subject == "split"]
    if (parts := _make_split_rows(revision, splits, chosen, is_file=take not in _CHOICES)) is not None:
        _add_rows(rows, "split_change", parts)
    require_sound_splits(revision, splits, rows.get("split_change"))
    removals = {
        item.conflict.object_id: chosen[item.number] for item in conflicts if item.conflict.subject == "removal"
    }
    columns: dict[str, Any] = _resolve_columns(facts, conflicts, chosen, rows)
    counts = {"classes": "class", "features": "feature", "rasters": "raster", "labels": "label", "splits": "split"}
    columns |= {name: len(rows.get(f"{kind}_change", ())) for name, kind in counts.items()}
    event = ConflictsResolved(
        settled=[settle_conflict(item.conflict, take if take in _CHOICES else "file") for item in conflicts],
        recipes=recipes.make_records(),
        removed_recipes=recipes.removed,
        remembered=sorted(id for id, value in removals.items() if value),
        forgotten=sorted(id for id, value in removals.items() if not value),
        tags=_list_tags(conflicts, chosen),
        warnings=[],
        **columns,
    )
    rows["merge_conflict"] = make_resolved_rows(conflicts)
    return CombinedPlan(event, rows, _list_files(revision, rows), "resolve the conflicts")


def _select_conflicts(revision: Revision, numbers: Sequence[str], *, is_all: bool) -> list[NumberedConflict]:
    conflicts = fetch_conflicts(revision)
    if is_all == bool(numbers):
        raise UsageError("name the conflicts to resolve by number, or pass --all. List them with geographer conflicts.")
    known = {conflict.number for conflict in conflicts}
    if unknown := [number for number in numbers if number not in known]:
        raise NotFoundError(f"no open conflict {quote_names(unknown)}. List them with geographer conflicts.")
    if not conflicts:
        raise NotFoundError("no conflict is open, so there is nothing to resolve.")
    return [conflict for conflict in conflicts if is_all or conflict.number in numbers]


def _choose_value(item: NumberedConflict, take: str, types: UserTypes) -> str | None:
    conflict = item.conflict
    if take == "smallest":
        if conflict.subject != "split":
            raise UsageError(f"conflict {item.number} is not of a split. Pass --take ours, theirs, base or a file.")
        return conflict.remedy
    if take == "base" and conflict.base is None and (conflict.column is None or conflict.column in REQUIRED_COLUMNS):
        raise UsageError(
            f"conflict {item.number} has no value of the last common revision, which both sides changed. Pass --take "
            "ours, theirs or a file."
        )
    if take in _CHOICES:
        value: str | None = getattr(conflict, take)
        return value
    return read_resolution(take, item, types)


def _make_object_rows(
    revision: Revision, table: str, conflicts: Sequence[NumberedConflict], chosen: Values
) -> "dict[str, pa.Table]":
    """Return the rows of classes, features or rasters with the chosen values in place of the present ones."""
    by_object: dict[str, list[NumberedConflict]] = defaultdict(list)
    for item in conflicts:
        by_object[item.conflict.object_id].append(item)
    changes = []
    for object_id, items in sorted(by_object.items()):
        before = _read_row(revision, table, object_id)
        columns = None if before is None else dict(split_row(table, before))
        for item in items:
            column, value = item.conflict.column, chosen[item.number]
            if column is None:
                columns = split_columns(value)
            elif columns is not None:
                columns = {name: text for name, text in {**columns, column: value}.items() if text is not None}
        if columns is None:
            # Removed classes keep their value in the log.
            kept = before if table == "class_change" else None
            changes += [("removed", object_id, kept)] if before is not None else []
        else:
            after = join_row(table, columns, (before,))
            changes += [("added" if before is None else "changed", object_id, after)] if after != before else []
    if not changes:
        return {}
    key, *names = ROW_TABLES[table]
    rows: dict[str, list[Any]] = {"change": [change for change, *_ in changes], key: [id for _, id, _ in changes]}
    return {
        table: make_row_table(table, rows | {name: [row and row.get(name) for *_, row in changes] for name in names})
    }


def _read_row(revision: Revision, table: str, object_id: str) -> dict[str, Any] | None:
    key, *names = ROW_TABLES[table]
    columns = ", ".join(map(quote_identifier, names))
    query = (
        f"SELECT change, {columns} FROM chain_{table} WHERE {key} = $id AND position <= getvariable('position') "  # noqa: S608
        "ORDER BY position DESC LIMIT 1"
    )
    rows = revision.fetch_rows(query, {"id": object_id})
    return dict(zip(names, rows[0][1:], strict=True)) if rows and rows[0][0] != "removed" else None


def _iter_removed(rows: "pa.Table | None") -> list[tuple[str, str]]:
    if rows is None:
        return []
    pairs = zip(rows["raster_id"].to_pylist(), rows["change"].to_pylist(), strict=True)
    return [(object_id, change) for object_id, change in pairs if change == "removed"]


def _make_values_distinct(revision: Revision, rows: "dict[str, pa.Table]") -> None:
    """Give the later of two classes that would have one value the next free one."""
    if "class_change" not in rows:
        return
    before, changes = read_class_values(revision), {row["class"]: row for row in rows["class_change"].to_pylist()}
    removed = {name for name, row in changes.items() if row["change"] == "removed"}
    after = {**before, **{name: row["value"] for name, row in changes.items()}}
    after = {name: value for name, value in after.items() if name not in removed}
    for name in make_distinct(after, read_class_places(revision, revision.position), [*before.values()]):
        change = "changed" if name in before else "added"
        changes[name] = {"change": change, "class": name, "value": after[name]}
    columns = {column: [row[column] for row in changes.values()] for column in ("change", "class", "value")}
    rows["class_change"] = make_row_table("class_change", columns)


def _require_classes(revision: Revision, rows: "Mapping[str, pa.Table]") -> None:
    """Raise if a feature would have a class that does not exist."""
    values = {*read_class_values(revision)}
    for row in rows["class_change"].to_pylist() if "class_change" in rows else ():
        values = values - {row["class"]} if row["change"] == "removed" else values | {row["class"]}
    changed = {row["feature_id"]: row for row in rows["feature_change"].to_pylist()} if "feature_change" in rows else {}
    query = "SELECT DISTINCT class FROM current_feature WHERE feature_id NOT IN (SELECT unnest($ids::VARCHAR[]))"
    used = {name for (name,) in revision.fetch_rows(query, {"ids": [*changed]})}
    used |= {row["class"] for row in changed.values() if row["change"] != "removed"}
    if missing := sorted(used - values):
        raise ConflictError(
            f"features have the {quote_objects('class', missing)}, which would not exist. Add it again first: "
            f"geographer add classes {missing[0]}"
        )


def _resolve_recipes(
    revision: Revision, facts: SideFacts, conflicts: Sequence[NumberedConflict], chosen: Values, rows: dict[str, Any]
) -> CombinedRecipes:
    """Return the recipes to record and to remove; add the removal of what they made otherwise to the rows."""
    recipes, states = CombinedRecipes(), dict(facts.recipes)
    own = [item for item in conflicts if item.conflict.subject == "recipe"]
    for item in own:
        states[item.conflict.object_id] = _resolve_recipe(  # type: ignore[assignment]
            states.get(item.conflict.object_id), item, chosen[item.number]
        )
    for name in dict.fromkeys(item.conflict.object_id for item in own):
        before, after = facts.recipes.get(name), states.get(name)
        if after is None:
            recipes.removed += [name] if before is not None else []
        elif after != before:
            _require_usable(name, after, [item.number for item in own if item.conflict.object_id == name])
            recipes.recorded[name] = after
        if before is not None and (after is None or makes_other_objects(before, after)):
            _remove_made_objects(revision, name, rows, with_assignments=after is None)
    if (inputs := make_input_rows(recipes.recorded)) is not None:
        rows["recipe_input"] = inputs
    return recipes


def _resolve_recipe(state: RecipeState | None, item: NumberedConflict, value: str | None) -> RecipeState | None:
    column = item.conflict.column
    if column is None:
        if value is None:
            return None
        content = json.loads(value)
        texts = {name: canonical_json(part) for name, part in content["parameters"].items()}
        if state is not None:
            return state._replace(kind=content["kind"], parameters=texts)
        return RecipeState(content["kind"], texts, None, (0, "", 0), {})
    if state is None:
        # It was removed since, which ends the conflict.
        return None
    if column.startswith("box "):
        inputs = {key: box for key, box in state.inputs.items() if key != ("box", column[4:])}
        if value is not None:
            box = json.loads(value)
            inputs["box", column[4:]] = (box["wkb"], box["crs"])
        return state._replace(inputs=inputs)
    parameters = {name: text for name, text in {**state.parameters, column: value}.items() if text is not None}
    return state._replace(parameters=parameters)


def _require_usable(name: str, state: RecipeState, numbers: Sequence[str]) -> None:
    """Raise if `update` could not run a recipe as it would be."""
    if fault := find_recipe_fault(name, state.kind, state.parameters):
        raise UsageError(
            f"{quote_objects('conflict', list(numbers))} cannot be resolved so, because recipe '{name}' could not run: "
            f"{fault.rstrip('.')}. Take other values; those of one side fit each other."
        )


def _remove_made_objects(revision: Revision, name: str, rows: dict[str, Any], *, with_assignments: bool) -> None:
    for table, query in _MADE.items():
        if table == "split_change" and not with_assignments:
            continue
        if keys := revision.fetch_rows(query, {"name": name}):
            _add_rows(rows, table, make_removed_rows(table, keys).to_arrow())
    if chips := [id for (id,) in revision.fetch_rows(_MADE["raster_change"], {"name": name})]:
        for table, removed in make_dependent_removal_rows(revision, chips).items():
            _add_rows(rows, table, removed.to_arrow())


def _make_split_rows(
    revision: Revision, conflicts: Sequence[NumberedConflict], chosen: Values, *, is_file: bool
) -> "pa.Table | None":
    """Return the rows that give rasters of splits the chosen parts; null leaves them without one."""
    changes = []
    for item in conflicts:
        parts = json.loads(chosen[item.number] or "{}")
        query = "SELECT raster_id, part FROM current_split WHERE split = $split"
        current = dict(revision.fetch_rows(query, {"split": item.conflict.object_id}))
        # Rasters may have been removed since; a file must not name others.
        if is_file:
            _require_known_parts(revision, item.conflict.object_id, parts, current)
        changes += [
            ("changed", item.conflict.object_id, raster, part)
            for raster, part in sorted(parts.items())
            if raster in current and current[raster] != part
        ]
    if not changes:
        return None
    names = ("change", "split", "raster_id", "part")
    return make_row_table("split_change", dict(zip(names, map(list, zip(*changes, strict=True)), strict=True)))


def _add_rows(rows: dict[str, Any], table: str, added: "pa.Table") -> None:
    """Add rows to those of a table, except for objects that have one there already."""
    import pyarrow as pa

    if table not in rows:
        rows[table] = added
        return
    known, new = (
        zip(*(part[key].to_pylist() for key in KEY_COLUMNS[table]), strict=True) for part in (rows[table], added)
    )
    taken = {*known}
    rows[table] = pa.concat_tables([rows[table], added.filter([key not in taken for key in new])])


def _require_known_parts(
    revision: Revision, split: str, parts: Mapping[str, str | None], current: Mapping[str, str | None]
) -> None:
    if unknown := sorted(parts.keys() - current.keys()):
        raise NotFoundError(f"split '{split}' has no {quote_objects('raster', unknown)}. See geographer splits.")
    query = "SELECT unnest(json_extract_string(parameters, '$.parts[*][0]')) FROM recipes WHERE name = $split"
    known = {*current.values()} | {name for (name,) in revision.fetch_rows(query, {"split": split})}
    if unknown := sorted({part for part in parts.values() if part is not None and part not in known}):
        raise NotFoundError(f"split '{split}' has no {quote_objects('part', unknown)}. See geographer splits.")


def _resolve_columns(
    facts: SideFacts, conflicts: Sequence[NumberedConflict], chosen: Values, rows: Mapping[str, object]
) -> dict[str, Any]:
    types = {subject: dict(columns) for subject, columns in facts.columns.items()}
    for item in conflicts:
        if item.conflict.subject == "user_column":
            subject, _, name = item.conflict.object_id.partition("/")
            value = chosen[item.number]
            types[subject].pop(name, None)
            if value is not None:
                types[subject][name] = json.loads(value)
    return make_column_payload(facts.columns, types, rows)


def _list_tags(conflicts: Sequence[NumberedConflict], chosen: Values) -> list[MergedTag]:
    tags = []
    for item in conflicts:
        if item.conflict.subject == "tag":
            value = chosen[item.number]
            if value is None:
                raise UsageError(f"conflict {item.number} is of a tag, which stays. Pass --take ours or theirs.")
            tags += [msgspec.json.decode(value, type=MergedTag)] if value != item.conflict.ours else []
    return tags


def _list_files(revision: Revision, rows: Mapping[str, Any]) -> dict[str, str]:
    if "raster_change" not in rows:
        return {}
    with register_table(revision.connection, "resolved_raster", rows["raster_change"]) as relation:
        return list_needed_files(revision, {"raster_change": relation})
