"""Remap classes: plan the `classes_remapped` event, which renames, combines or drops classes."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.parameters import Parameter
from geographer.operations.classes.events import ClassesRemapped
from geographer.operations.classes.label_values import RemapChange, list_rewritten_labels
from geographer.operations.classes.probabilities import list_probability_columns, stage_probabilities, stage_table
from geographer.planning.class_values import read_class_values
from geographer.planning.label_files import require_no_banded_labels
from geographer.planning.original_class import choose_original_class_column
from geographer.planning.removed_rasters import count_rows, make_removal_rows
from geographer.planning.shared_parameters import OBJECT_SCHEMA, OPTIONAL_TEXT
from geographer.planning.user_columns import PROBABILITY_PREFIX
from geographer.storage.database.connection import escape_literal, run_script
from geographer.storage.events.plain_rows import PlainRows
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request

if TYPE_CHECKING:
    from geographer.storage.events.plain_rows import PlannedRows

_REMAP: Final = Path(__file__).with_name("remap.sql")
_CHIPS_WITHOUT_OBJECTS: Final = Path(__file__).with_name("chips_without_objects.sql")

ClassMapping = Mapping[str, str | None]
"""Class to new class, or to None to drop it."""


def parse_mapping(mapping: ClassMapping | Iterable[str]) -> dict[str, str | None]:
    """Return a mapping of classes, also from texts such as `football,baseball=ball` and `track=`; else `UsageError`."""
    if isinstance(mapping, Mapping):
        return dict(mapping)
    targets: dict[str, str | None] = {}
    for change in mapping:
        names, equals, target = change.rpartition("=")
        if not equals or not names:
            raise UsageError(
                f"invalid change '{change}'. Use OLD=NEW, e.g. football,baseball=ball, or OLD= to drop a class."
            )
        for name in map(str.strip, names.split(",")):
            if name in targets:
                raise UsageError(f"class '{name}' is given twice. Give each class one target.")
            targets[name] = target.strip() or None
    return targets


_NAMES: Final = {"propertyNames": {"minLength": 1}, "additionalProperties": {**OPTIONAL_TEXT, "minLength": 1}}
_MAPPING: Final = Parameter(
    "Class to new class, or to None to drop it; classes that are not named stay.",
    *("OLD[,OLD…]=[NEW]...",),
    cli="arguments",
    convert=parse_mapping,
    key="classes",
    schema={**OBJECT_SCHEMA, **_NAMES, "minProperties": 1},
)


class ClassChanges(Request, frozen=True):
    """A request that maps classes to new ones."""

    mapping: Annotated[ClassMapping | Iterable[str], _MAPPING]


class RemapClasses(ClassChanges, kw_only=True, frozen=True):
    """Combine, rename or drop classes in one change.

    'football,baseball=ball' combines two classes, 'track=lane' renames one, and 'court=' removes one with its features;
    earlier revisions keep them. The column original_class keeps each feature's first class (original_class_
    if the features have a column of that name already).

    A class that stays keeps its value; a new one gets the smallest value of the classes that map to it. Two classes can
    be swapped and take their values along. The background class can be renamed and combined, but not dropped while
    features have it, because it erases in masks. The columns prob_of_class_<class> follow: those of combined classes
    are summed. Recipes are not changed; a warning names those whose SQL mentions a class that no longer exists.
    Masks that were added as files get the new values; those of chips follow with update.
    """

    event: ClassVar[type[ClassesRemapped]] = ClassesRemapped
    example = "classes remap football,baseball=ball track=lane court="

    prune_rasters: Annotated[
        bool, Parameter("Remove chips that lose their last object, with their labels and split assignments.")
    ] = False

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the remap.

        Raises:
            UsageError: The mapping is empty, changes nothing or has an empty name, or a probability is not a number.
            NotFoundError: A class does not exist.
            ConflictError: The background class would be dropped while features have it; or added labels have a band
                for each class, and these change.
        """
        mapping = parse_mapping(self.mapping)
        old_values = read_class_values(revision)
        _check_mapping(mapping, old_values)
        values = compute_remapped_values(old_values, mapping)
        targets = {name: mapping.get(name, name) for name in old_values}
        class_remap: dict[str, list[Any]] = {
            "class": [*old_values],
            "target": [*targets.values()],
            "is_changed": [target != name for name, target in targets.items()],
            "was_object": [value != 0 for value in old_values.values()],
            "is_object": [target is not None and values[target] != 0 for target in targets.values()],
        }
        stage_table(revision, "class_remap", class_remap)
        _reject_dropping_background(revision, old_values, targets)
        columns = _stage_probability_remap(revision, mapping)
        cleared_properties = json.dumps(dict.fromkeys(columns))
        original_column = choose_original_class_column(revision)
        options = {"cleared_properties": cleared_properties, "original_column": original_column}
        run_script(revision.connection, _REMAP.read_text(), options)
        remapped, dropped, has_original = revision.fetch_rows(
            "SELECT count(*) FILTER (change = 'changed'), count(*) FILTER (change = 'removed'), "  # noqa: S608
            f"bool_or((properties->>'$.{original_column}') IS NOT NULL) FROM remapped_feature"
        )[0]
        if has_original:
            columns[original_column] = "VARCHAR"
        rows: dict[str, PlannedRows] = _make_class_rows(old_values, values)
        if remapped or dropped:
            rows["feature_change"] = "remapped_feature"
        chips = [raster_id for (raster_id,) in revision.fetch_rows(_CHIPS_WITHOUT_OBJECTS.read_text())]
        removal_rows = make_removal_rows(revision, chips) if self.prune_rasters else {}
        event = ClassesRemapped(
            columns=columns,
            classes=sorted(values, key=values.__getitem__),
            features=remapped,
            dropped=dropped,
            pruned=count_rows(removal_rows, "raster_change"),
            labels=count_rows(removal_rows, "label_change"),
            splits=count_rows(removal_rows, "split_change"),
            warnings=_list_recipe_warnings(revision, sorted(old_values.keys() - values.keys())),
        )
        targets_by_value = {value: values.get(targets[name] or "", 0) for name, value in old_values.items()}
        changed = {
            name for name, value in old_values.items() if (name, value) != (targets[name], targets_by_value[value])
        }
        if any(old_values[name] for name in changed):
            require_no_banded_labels(revision)
        removed_ids = {*chips} if self.prune_rasters else set()
        labels = list_rewritten_labels(revision, targets_by_value, removed_ids)
        return RemapChange(event, rows | removal_rows, labels=labels, values=targets_by_value)


def compute_remapped_values(old_values: Mapping[str, int], mapping: ClassMapping) -> dict[str, int]:
    """Return the values of the classes after a remap.

    A class that maps to itself keeps its value, also if others join it. A new class gets the smallest value of the
    classes that map to it.
    """
    values: dict[str, int] = {}
    for name, value in old_values.items():
        if (target := mapping.get(name, name)) is not None:
            values[target] = min(value, values.get(target, value))
    return values | {name: value for name, value in old_values.items() if mapping.get(name, name) == name}


def _check_mapping(mapping: ClassMapping, classes: Iterable[str]) -> None:
    if not mapping:
        raise UsageError("no class mapping given. Use 'old=new', 'one,other=new', or 'old=' to drop a class.")
    if "" in mapping or "" in mapping.values():
        raise UsageError("empty class name in the mapping. Use 'old=new', or 'old=' (None in Python) to drop a class.")
    if unknown := sorted(set(mapping).difference(classes)):
        existing = quote_names([*classes]) or "none"
        raise NotFoundError(f"no {quote_objects('class', unknown)}. Existing classes: {existing}.")
    if all(name == target for name, target in mapping.items()):
        raise UsageError(f"the mapping of {quote_names([*mapping])} changes nothing. Map a class to another name.")


def _reject_dropping_background(revision: Revision, old_values: dict[str, int], targets: dict[str, str | None]) -> None:
    background = next((name for name, value in old_values.items() if value == 0 and targets[name] is None), None)
    query = "SELECT count(*) FROM current_feature WHERE class = $name"
    if background is not None and (count := revision.fetch_value(query, {"name": background})):
        raise ConflictError(
            f"cannot drop the background class '{background}': its features ({count:,}) erase other classes in masks. "
            "Remove them first, or remap them to another class."
        )


def _stage_probability_remap(
    revision: Revision, mapping: ClassMapping
) -> dict[str, Literal["DOUBLE", "VARCHAR"] | None]:
    """Stage `probability_remap` and `class_probability`; return the changed columns with new types (None: dropped)."""
    old_names = {column: column.removeprefix(PROBABILITY_PREFIX) for column in list_probability_columns(revision)}
    names = {column: mapping.get(name, name) for column, name in old_names.items()}
    targets = {column: None if name is None else PROBABILITY_PREFIX + name for column, name in names.items()}
    moved = {column: target for column, target in targets.items() if target != column}
    changed = {column: target for column, target in targets.items() if column in moved or column in moved.values()}
    stage_table(revision, "probability_remap", {"name": [*changed], "target": [*changed.values()]})
    stage_probabilities(revision, [*changed])
    remaining = {target for target in changed.values() if target is not None}
    return {column: "DOUBLE" if column in remaining else None for column in sorted(remaining.union(changed))}


def _make_class_rows(old_values: dict[str, int], values: dict[str, int]) -> "dict[str, PlannedRows]":
    from geographer.base.redaction import require_no_credentials

    require_no_credentials("class name", values.keys() - old_values.keys())
    removed = {name: value for name, value in old_values.items() if name not in values}
    by_value = sorted(values.items(), key=lambda item: item[1])
    changed = removed | {name: value for name, value in by_value if old_values.get(name) != value}
    kinds = ["removed" if name in removed else "changed" if name in old_values else "added" for name in changed]
    columns: dict[str, list[Any]] = {"change": kinds, "class": [*changed], "value": [*changed.values()]}
    return {"class_change": PlainRows("class_change", columns)} if changed else {}


def _list_recipe_warnings(revision: Revision, removed_classes: list[str]) -> list[str]:
    return [
        f"recipe '{recipe}' uses the removed class '{name}'"
        for recipe, parameters in revision.fetch_rows("SELECT name, parameters FROM recipes")
        for name in removed_classes
        if f"'{escape_literal(name)}'" in parameters
    ]
