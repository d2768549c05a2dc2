"""Merged classes: distinct values, and a class for each feature."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from geographer.operations.merge.contested import MergedRow
from geographer.operations.merge.sides import FIRST, SECOND
from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_OLDEST: Final = (0, "")
_COMMON: Final = "SELECT class, value FROM state.class WHERE valid_from <= $common AND valid_to > $common"
_DECISIONS: Final = "SELECT class, coalesce(chosen, 'none') FROM decision_class_change"
_VALUES: Final = (
    "SELECT class, side, value FROM version_class_change JOIN (SELECT event_key, class, value FROM log.class_change) "
    "USING (event_key, class) WHERE side IN ('first', 'second')"
)
_CREATED: Final = (
    "SELECT side, class, max(row(generation, digest)) FROM log.class_change JOIN side_event USING (event_key) "
    "WHERE change = 'added' GROUP BY ALL"
)


class MergedClasses(NamedTuple):
    """The classes after the merge that events after the common ones changed, and those that got another value."""

    rows: list[MergedRow]
    renumbered: list[str]


def merge_classes(
    revision: Revision, common: int, contested: Sequence[MergedRow], used: Sequence[str]
) -> MergedClasses:
    """Return the merged classes: each that a feature has (`used`) stays, and all have distinct values.

    Of two classes with one value, that of the later event, in the order of generation and digest, gets the next value
    above all that are used.
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
    renumbered = make_distinct(final, _read_creations(revision, values), [*common_values.values(), *_iter_all(values)])
    rows = []
    for name, side in sorted(chosen.items()):
        is_own = name in own or name in renumbered
        rows.append(MergedRow(name, "merged", {"value": final[name]}) if is_own else MergedRow(name, side))
    rows += [MergedRow(name, "merged", {"value": final[name]}) for name in renumbered if name not in chosen]
    return MergedClasses(rows, renumbered)


def _iter_all(values: Mapping[str, Mapping[str, int]]) -> list[int]:
    return [value for by_side in values.values() for value in by_side.values()]


def make_distinct(final: dict[str, int], created: Mapping[str, tuple[int, str]], used: Sequence[int]) -> list[str]:
    """Give classes whose value another one has the next free value; return their names."""
    free = max([*final.values(), *used], default=0) + 1
    taken: set[int] = set()
    renumbered = []
    for name in sorted(final, key=lambda name: (created.get(name, _OLDEST), name)):
        if final[name] in taken:
            final[name] = free
            free += 1
            renumbered.append(name)
        taken.add(final[name])
    return sorted(renumbered)


def _read_creations(revision: Revision, values: Mapping[str, Mapping[str, int]]) -> dict[str, tuple[int, str]]:
    """Return generation and digest of the event that created each class, the earlier one if both sides did."""
    created = {(side, name): tuple(order) for side, name, order in revision.fetch_rows(_CREATED)}
    return {
        name: min((created.get((side, name), _OLDEST) for side in by_side), default=_OLDEST)
        for name, by_side in values.items()
    }
