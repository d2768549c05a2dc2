"""Merged classes: distinct values, and a class for each feature."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from geographer.operations.merge.contested import MergedRow
from geographer.operations.merge.orders import find_given_orders
from geographer.operations.merge.sides import FIRST, SECOND
from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_OLDEST: Final[tuple[int, str]] = (0, "")
_COMMON: Final = "SELECT class, value FROM state.class WHERE valid_from <= $common AND valid_to > $common"
_DECISIONS: Final = "SELECT class, coalesce(chosen, 'none') FROM decision_class_change"
_VALUES: Final = (
    "SELECT class, side, value FROM version_class_change JOIN (SELECT event_key, class, value FROM log.class_change) "
    "USING (event_key, class)"
)
ClassPlace = tuple[int, str]
"""Generation and digest of the event that created a class."""


class MergedClasses(NamedTuple):
    """The classes after the merge that events after the common ones changed, and those that got another value.

    `places` has the creating events of those whose row in the merge event, or whose first side, says another one.
    `values` are those of all classes.
    """

    rows: list[MergedRow]
    renumbered: list[str]
    places: dict[str, ClassPlace]
    values: dict[str, int]


def merge_classes(
    revision: Revision, common: int, contested: Sequence[MergedRow], used: Sequence[str], ignored: Collection[int]
) -> MergedClasses:
    """Return the merged classes: each that a feature has (`used`) stays, and all have distinct values.

    Of two classes with one value, that of the later event, in the order of generation and digest, gets the next value
    above all that are used. So does a new class with one of the values `ignored`, of pixels to ignore in labels.
    """
    common_values = dict(revision.fetch_rows(_COMMON, {"common": common}))
    values: dict[str, dict[str, int]] = defaultdict(dict)
    for name, side, value in revision.fetch_rows(_VALUES):
        values[name][side] = value
    chosen = dict(revision.fetch_rows(_DECISIONS)) | {row.object_id: row.chosen for row in contested}
    own = {row.object_id: row.values["value"] for row in contested if row.values}
    final = {name: value for name, value in common_values.items() if name not in chosen}
    for name, side in chosen.items():
        if side not in values[name] and name not in own and name in used:
            side = chosen[name] = SECOND if side == FIRST else FIRST
        if name in own or side in values[name]:
            final[name] = own[name] if name in own else values[name][side]
    by_side = _read_places(revision, common, values)
    created = {name: min(places.values(), default=_OLDEST) for name, places in by_side.items()}
    reserved = {*ignored}.difference(common_values.values())
    renumbered = make_distinct(final, created, [*common_values.values(), *_iter_all(values)], reserved)
    rows = []
    for name, side in sorted(chosen.items()):
        is_own = name in own or name in renumbered
        rows.append(MergedRow(name, "merged", {"value": final[name]}) if is_own else MergedRow(name, side))
    rows += [MergedRow(name, "merged", {"value": final[name]}) for name in renumbered if name not in chosen]
    places = {name: created[name] for name in chosen if name in final and by_side[name].get(FIRST) != created.get(name)}
    return MergedClasses(rows, renumbered, places, final)


def _iter_all(values: Mapping[str, Mapping[str, int]]) -> list[int]:
    return [value for by_side in values.values() for value in by_side.values()]


def make_distinct(
    final: dict[str, int], created: Mapping[str, ClassPlace], used: Sequence[int], reserved: Collection[int] = ()
) -> list[str]:
    """Give classes whose value another one has, or that is `reserved`, the next free value; return their names."""
    free = (value for value in count(max([*final.values(), *used], default=0) + 1) if value not in reserved)
    taken: set[int] = {*reserved}
    renumbered = []
    for name in sorted(final, key=lambda name: (created.get(name, _OLDEST), name)):
        if final[name] in taken:
            final[name] = next(free)
            renumbered.append(name)
        taken.add(final[name])
    return sorted(renumbered)


def read_class_places(revision: Revision, position: int) -> dict[str, ClassPlace]:
    """Return which event created each class, as of a position of the revision's chain."""
    rows = revision.fetch_rows((_FOLDER / "class_places.sql").read_text(), {"position": position})
    return {name: (generation, digest) for name, generation, digest in rows}


def _read_places(
    revision: Revision, common: int, values: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, ClassPlace]]:
    """Return which event created each class on each parent's side that has it."""
    script = (_FOLDER / "side_class_places.sql").read_text().format(given=find_given_orders(revision))
    added = {(side, name): (generation, digest) for side, name, generation, digest in revision.fetch_rows(script)}
    before = read_class_places(revision, common)
    return {
        name: {side: added.get((side, name), before.get(name, _OLDEST)) for side in (FIRST, SECOND) if side in by_side}
        for name, by_side in values.items()
    }
