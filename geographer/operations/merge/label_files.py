"""Labels that users added as files: what a merge would lose of them, as no recipe makes them again."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from geographer.base.errors import ConflictError, quote_objects
from geographer.operations.merge.facts import RecipeState, SideFacts
from geographer.operations.merge.recipes import CombinedRecipes
from geographer.operations.merge.sides import FIRST, SECOND, MergeSides
from geographer.planning.label_files import LABEL_FILES


class LabelOfSide(NamedTuple):
    """A label of files on a side whose objects of the recipe do not fit the merged one."""

    label: str
    side: str
    collection: str


def find_label_collections(sides: Iterable[SideFacts]) -> dict[str, str]:
    """Return the collections of labels that were added as files, by label."""
    recipes = {name: state for side in sides for name, state in side.recipes.items()}
    return {name: _read_collection(state) for name, state in recipes.items() if state.kind == LABEL_FILES}


def list_unfit_sides(facts: Mapping[str, SideFacts], recipes: CombinedRecipes) -> list[LabelOfSide]:
    """Return the labels of files that the merge takes from the other side, or from none."""
    found = []
    for name, rule in recipes.rules.items():
        for side in {FIRST, SECOND}.difference([rule]):
            state = facts[side].recipes.get(name)
            if state is not None and state.kind == LABEL_FILES:
                found.append(LabelOfSide(name, side, _read_collection(state)))
    return sorted(found)


def list_ignored_values(sides: Iterable[SideFacts]) -> set[int]:
    """Return the values of pixels to ignore in labels of the sides."""
    texts = {
        state.parameters.get("ignore", "null")
        for side in sides
        for state in side.recipes.values()
        if state.kind.startswith("label ")
    }
    return {int(text) for text in texts if text.isdecimal()}


def require_no_renumbered_masks(found: Sequence[tuple[str, int, int, str, str, str]], sides: MergeSides) -> None:
    """Raise `ConflictError` if there are masks of files with a class that gets another value: they would show another.

    Each has the class, its value, its new one, the label, the side and the raster id.
    """
    if not found:
        return
    name, value, new_value, label, side, _ = found[0]
    place = "here" if side == sides.ours else "there"
    rasters = quote_objects("raster", sorted({row[5] for row in found if row[:5] == found[0][:5]}))
    raise ConflictError(
        f"class '{name}' would get the value {new_value} in place of {value}, but label '{label}' of {rasters} was "
        f"added as a file {place}, with the value {value}. Remove the label on that side (geographer remove "
        f"labels {label}), merge, and add its files again with: geographer add labels --values {value}={name}"
    )


def require_no_lost_labels(
    lost: Sequence[tuple[str, str, str]], facts: Mapping[str, SideFacts], sides: MergeSides
) -> None:
    """Raise `ConflictError` if there are labels (name, side, raster id) that would be lost."""
    if not lost:
        return
    label, side, _ = lost[0]
    rasters = quote_objects("raster", [raster_id for name, where, raster_id in lost if (name, where) == (label, side)])
    place = "here" if side == sides.ours else "there"
    own, other = (facts[name].recipes.get(label) for name in (sides.ours, sides.their_side))
    raise ConflictError(
        f"label '{label}' was added as files, and {_describe_difference(own, other)}. The files of {rasters} {place} "
        "would be lost, and no recipe can make them again. Rename the label on one side, then try again: geographer "
        f"rename recipe {label} NEW"
    )


def _describe_difference(own: RecipeState | None, other: RecipeState | None) -> str:
    if own is None or other is None:
        return f"removed {'here' if own is None else 'there'}"
    if own.kind != other.kind:
        return f"is of the kind '{own.kind}' here and '{other.kind}' there"
    names = [name for name in sorted(own.parameters) if own.parameters[name] != other.parameters.get(name)]
    texts = [f"{name} {own.parameters[name]} here and {other.parameters.get(name)} there" for name in names]
    return f"has other parameters on both sides: {', '.join(texts).replace('null', 'none')}"


def _read_collection(state: RecipeState) -> str:
    return str(json.loads(state.parameters["collection"]))
