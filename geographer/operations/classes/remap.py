"""Remap classes: plan the `classes_remapped` event, which renames, combines or drops classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names, quote_objects
from geographer.operations.classes.probabilities import (
    create_feature_row_view,
    list_probability_columns,
    stage_probabilities,
    stage_table,
)
from geographer.planning.removed_rasters import count_rows, make_removal_rows
from geographer.planning.user_columns import PROBABILITY_PREFIX
from geographer.storage.database.connection import escape_literal, run_script
from geographer.storage.events import EventDraft
from geographer.storage.log.row_tables import make_row_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from geographer.storage.queries.revision import Revision

ORIGINAL_CLASS_COLUMN: Final = "original_class"
"""User column with the class that a feature had before its first remap."""

_REMAP: Final = Path(__file__).with_name("remap.sql")
_CHIPS_WITHOUT_OBJECTS: Final = Path(__file__).with_name("chips_without_objects.sql")


def plan_remap(
    revision: Revision, mapping: Mapping[str, str | None], *, prune_rasters: bool, request: dict[str, Any]
) -> EventDraft:
    """Plan the `classes_remapped` event for a mapping of classes to new classes; None drops a class and its features.

    `prune_rasters` removes the chips that no longer show an object.

    Raises:
        UsageError: The mapping is empty, changes nothing or has an empty name, or a probability is not a number.
        NotFoundError: A class does not exist.
        ConflictError: The background class would be dropped while features have it.
    """
    old_values: dict[str, int] = dict(revision.fetch_rows("SELECT class, value FROM classes"))
    _check_mapping(mapping, old_values)
    values = compute_remapped_values(old_values, mapping)
    targets = {name: mapping.get(name, name) for name in old_values}
    _stage_class_remap(revision, old_values, targets, values)
    _reject_dropping_background(revision, old_values, targets)
    columns = _stage_probability_remap(revision, mapping)
    cleared_properties = json.dumps(dict.fromkeys(columns))
    run_script(revision.connection, _REMAP.read_text(), {"cleared_properties": cleared_properties})
    remapped, dropped = revision.fetch_rows(
        "SELECT count(*) FILTER (change = 'changed'), count(*) FILTER (change = 'removed') FROM remapped_feature"
    )[0]
    has_original = f"SELECT bool_or((properties->>'$.{ORIGINAL_CLASS_COLUMN}') IS NOT NULL) FROM remapped_feature"  # noqa: S608
    if revision.fetch_value(has_original):
        columns[ORIGINAL_CLASS_COLUMN] = "VARCHAR"
    rows: dict[str, Any] = _make_class_rows(old_values, values)
    if remapped or dropped:
        rows["feature_change"] = create_feature_row_view(revision, "remapped_feature")
    chips = [row[0] for row in revision.fetch_rows(_CHIPS_WITHOUT_OBJECTS.read_text())] if prune_rasters else []
    removal_rows = make_removal_rows(revision, chips) if chips else {}
    payload = {
        "request": request,
        "columns": columns,
        "classes": sorted(values, key=values.__getitem__),
        "features": remapped,
        "dropped": dropped,
        "pruned": len(chips),
        **count_rows(removal_rows, "label", "split"),
        "warnings": _list_recipe_warnings(revision, sorted(old_values.keys() - values.keys())),
    }
    return EventDraft("classes_remapped", payload, {**rows, **removal_rows})


def compute_remapped_values(old_values: Mapping[str, int], mapping: Mapping[str, str | None]) -> dict[str, int]:
    """Return the values of the classes after a remap.

    A class that maps to itself keeps its value, also if others join it. A new class gets the smallest value of the
    classes that map to it.
    """
    values_by_target: dict[str, list[int]] = {}
    for name, value in old_values.items():
        target = mapping.get(name, name)
        if target is not None:
            values_by_target.setdefault(target, []).append(value)
    return {
        name: old_values[name] if name in old_values and mapping.get(name, name) == name else min(values)
        for name, values in values_by_target.items()
    }


def _check_mapping(mapping: Mapping[str, str | None], classes: Iterable[str]) -> None:
    if not mapping:
        raise UsageError("no class mapping given. Use 'old=new', 'one,other=new', or 'old=' to drop a class.")
    if "" in mapping or "" in mapping.values():
        raise UsageError("empty class name in the mapping. Use 'old=new', or 'old=' (None in Python) to drop a class.")
    unknown = sorted(set(mapping).difference(classes))
    if unknown:
        raise NotFoundError(
            f"no {quote_objects('class', unknown)}. Existing classes: {quote_names([*classes]) or 'none'}."
        )
    if all(name == target for name, target in mapping.items()):
        raise UsageError(f"the mapping of {quote_names([*mapping])} changes nothing. Map a class to another name.")


def _stage_class_remap(
    revision: Revision, old_values: dict[str, int], targets: dict[str, str | None], values: dict[str, int]
) -> None:
    """Make the temp table `class_remap`: class, target, and whether each is an object class (value above 0)."""
    columns: dict[str, list[Any]] = {
        "class": [*old_values],
        "target": [*targets.values()],
        "is_changed": [target != name for name, target in targets.items()],
        "was_object": [value != 0 for value in old_values.values()],
        "is_object": [target is not None and values[target] != 0 for target in targets.values()],
    }
    stage_table(revision, "class_remap", columns)


def _reject_dropping_background(revision: Revision, old_values: dict[str, int], targets: dict[str, str | None]) -> None:
    background = next((name for name, value in old_values.items() if value == 0 and targets[name] is None), None)
    if background is None:
        return
    count = revision.fetch_value("SELECT count(*) FROM current_feature WHERE class = $name", {"name": background})
    if count:
        raise ConflictError(
            f"cannot drop the background class '{background}': its features ({count:,}) erase other classes in masks. "
            "Remove them first, or remap them to another class."
        )


def _stage_probability_remap(revision: Revision, mapping: Mapping[str, str | None]) -> dict[str, str | None]:
    """Stage the tables `probability_remap` (name, target) and `class_probability` of the columns that change.

    Return these columns with their types after the remap; None for a column that disappears.
    """
    targets: dict[str, str | None] = {}
    for column in list_probability_columns(revision):
        name = column.removeprefix(PROBABILITY_PREFIX)
        target = mapping.get(name, name)
        targets[column] = None if target is None else PROBABILITY_PREFIX + target
    moved = {column: target for column, target in targets.items() if target != column}
    changed = {column: target for column, target in targets.items() if column in moved or column in moved.values()}
    stage_table(revision, "probability_remap", {"name": [*changed], "target": [*changed.values()]})
    stage_probabilities(revision, [*changed])
    remaining = {target for target in changed.values() if target is not None}
    return {column: "DOUBLE" if column in remaining else None for column in sorted(remaining.union(changed))}


def _make_class_rows(old_values: dict[str, int], values: dict[str, int]) -> dict[str, Any]:
    changes = [("removed", name, value) for name, value in old_values.items() if name not in values]
    changes += [
        ("changed" if name in old_values else "added", name, value)
        for name, value in sorted(values.items(), key=lambda item: item[1])
        if old_values.get(name) != value
    ]
    if not changes:
        return {}
    columns = dict(zip(("change", "class", "value"), map(list, zip(*changes, strict=True)), strict=True))
    return {"class_change": make_row_table("class_change", columns)}


def _list_recipe_warnings(revision: Revision, removed_classes: list[str]) -> list[str]:
    """Warn of recipes whose SQL names a removed class."""
    return [
        f"recipe '{recipe}' uses the removed class '{name}'"
        for recipe, parameters in revision.fetch_rows("SELECT name, parameters FROM recipes")
        for name in removed_classes
        if f"'{escape_literal(name)}'" in parameters
    ]
