"""Merged user columns: which ones to declare, and which to drop."""

from collections.abc import Mapping
from typing import NamedTuple

from geographer.base.canonical_json import canonical_json
from geographer.operations.merge.facts import SideFacts
from geographer.operations.merge.sides import FIRST, MergeSides
from geographer.operations.merge.three_way import Take, choose_value
from geographer.planning.merge_conflicts import Conflict
from geographer.storage.queries.revision import choose_common_type

_SUBJECTS = ("feature", "raster")


class MergedUserColumns(NamedTuple):
    """The types of the merged user columns by subject and name, and what both sides changed differently."""

    types: Mapping[str, Mapping[str, str]]
    conflicts: list[Conflict]


def merge_user_columns(facts: Mapping[str, SideFacts], sides: MergeSides, take: Take) -> MergedUserColumns:
    """Merge the types of user columns; one that both sides changed gets a type that holds the values of both."""
    types: dict[str, dict[str, str]] = {}
    conflicts = []
    for subject in _SUBJECTS:
        ours, theirs = (facts[side].columns[subject] for side in (sides.ours, sides.their_side))
        bases = [facts[name].columns[subject] for name in sides.base_names]
        types[subject] = {}
        for name in dict.fromkeys((*facts[FIRST].columns[subject], *sorted({**ours, **theirs}))):
            here, there, before = ours.get(name), theirs.get(name), [base.get(name) for base in bases]
            value, is_conflict = choose_value(before, here, there, take)
            if is_conflict and here and there:
                value = choose_common_type([here, there])
            elif is_conflict:
                texts = [text and canonical_json(text) for text in (before[0], here, there)]
                conflicts.append(Conflict("user_column", f"{subject}/{name}", "type", *texts))
            if value is not None:
                types[subject][name] = value
    return MergedUserColumns(types, conflicts)


def plan_columns(
    before: Mapping[str, str], after: Mapping[str, str], *, has_rows: bool
) -> tuple[dict[str, str], list[str]]:
    """Return the columns that an event declares to get from `before` to `after`, and those that it drops first.

    An event with rows declares all columns, because rows are checked against the types that their event declares.
    """
    retyped = [
        name for name in after if name in before and choose_common_type([*{before[name], after[name]}]) != after[name]
    ]
    dropped = [name for name in before if name not in after]
    changed = {name: kind for name, kind in after.items() if has_rows or before.get(name) != kind}
    return changed, sorted(dropped + retyped)
