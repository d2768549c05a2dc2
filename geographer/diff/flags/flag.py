"""Flag: an unusual change of one object, or one that many objects share, with reasons and the event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geographer.base.text import format_count

_MAX_ALIKE: Final = 15
_MAX_SHARE: Final = 0.02
_MAX_OUTLIERS: Final = 10
_OUTLIER_FACTOR: Final = 1.5
_MAX_NAMES: Final = 3
MIN_SAMPLE: Final = 30
"""Fewer values do not tell what is usual."""
_DEVIATIONS: Final = 5
_TAIL_QUANTILE, _TAIL_FACTOR = 0.995, 1.35
_MAD_TO_SIGMA: Final = 1.4826
"""The standard deviation of a normal distribution divided by its median absolute deviation."""


class Reason(NamedTuple):
    """Why an object is flagged.

    Attributes:
        code: What happened, such as `moved`; changes with an equal `alike` happened to many objects in one way.
        text: The reason in words.
        score: How far it exceeds what is usual; 1 is the limit.
        alike: The group of changes that are alike, in words for many objects: `moved more than a pixel`.
    """

    code: str
    text: str
    score: float
    alike: str


class FlagCandidate(NamedTuple):
    """A reason to flag an object, before candidates are joined to flags; `related` are ids of other objects."""

    object: str
    id: str
    name: str
    position: int
    reason: Reason
    related: tuple[str, ...] = ()


class Flag(NamedTuple):
    """An object to look at, or `number` objects that changed alike, of which `ids` has some.

    `object` is the kind of the object, `name` how texts call it, `position` that of the event that changed it.
    """

    object: str
    ids: tuple[str, ...]
    name: str
    number: int
    position: int
    score: float
    reasons: tuple[Reason, ...]
    related: tuple[str, ...]

    def format_text(self) -> str:
        """Return the flag in one line."""
        return f"{self.name}: {'; '.join(reason.text for reason in self.reasons)}"


def rank_candidates(
    candidates: Iterable[FlagCandidate], changed: int, is_chosen: Callable[[FlagCandidate], bool] = lambda _: True
) -> list[Flag]:
    """Return flags by falling score: one for each object with all its reasons, and one for many that changed alike.

    `changed` is the number of objects that differ. What happened to more than 2 % of them, and to more than 15, is the
    change itself: those objects become one flag, except for the outliers among them. Only candidates that are chosen
    become flags, but what is usual depends on all.
    """
    groups: dict[tuple[str, str], list[FlagCandidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.object, candidate.reason.alike].append(candidate)
    by_object: dict[tuple[str, str], list[FlagCandidate]] = defaultdict(list)
    joined = []
    for group in groups.values():
        listed, alike = _separate_outliers(group, max(_MAX_ALIKE, _MAX_SHARE * changed))
        if chosen := [candidate for candidate in alike if is_chosen(candidate)]:
            joined.append(_join_alike(chosen))
        for candidate in listed:
            if is_chosen(candidate):
                by_object[candidate.object, candidate.id].append(candidate)
    flags = joined + [_join_reasons(found) for found in by_object.values()]
    return sorted(flags, key=lambda flag: (-flag.score, flag.object, flag.name))


def compute_limit(values: NDArray[np.float64], floor: float) -> float:
    """Return the value above which one is unusual among `values`, at least `floor`.

    It is the lower of two that few unusual values do not raise: the median and 5 standard deviations, which are those
    of the middle half, and 1.35 times the value that 0.5 % exceed. Few values tell nothing.
    """
    known = values[np.isfinite(values)]
    if len(known) < MIN_SAMPLE:
        return floor
    median = float(np.median(known))
    spread = _DEVIATIONS * _MAD_TO_SIGMA * float(np.median(np.abs(known - median)))
    return max(floor, min(median + spread, _TAIL_FACTOR * float(np.quantile(known, _TAIL_QUANTILE))))


def _separate_outliers(group: list[FlagCandidate], limit: float) -> tuple[list[FlagCandidate], list[FlagCandidate]]:
    """Return the candidates to list one by one, and those that are alike; all are listed if they are few."""
    if len(group) <= limit:
        return group, []
    scores = np.array([candidate.reason.score for candidate in group])
    highest = compute_limit(scores, max(1.0, _OUTLIER_FACTOR * float(np.median(scores))))
    order = np.argsort(-scores, kind="stable")
    outliers = {int(index) for index in order[:_MAX_OUTLIERS] if scores[index] > highest}
    listed = [candidate for index, candidate in enumerate(group) if index in outliers]
    return listed, [candidate for index, candidate in enumerate(group) if index not in outliers]


def _join_alike(group: Sequence[FlagCandidate]) -> Flag:
    group = sorted(group, key=lambda candidate: candidate.id)
    first = group[0]
    positions = {candidate.position for candidate in group}
    names = tuple(candidate.id for candidate in group[:_MAX_NAMES])
    text = f"{first.reason.alike} (such as {', '.join(names)})"
    score = min(1.0, float(np.median([candidate.reason.score for candidate in group])))
    reason = Reason(first.reason.code, text, score, first.reason.alike)
    name = format_count(len(group), first.object)
    return Flag(first.object, names, name, len(group), max(positions), score, (reason,), ())


def _join_reasons(found: Sequence[FlagCandidate]) -> Flag:
    found = sorted(found, key=lambda candidate: -candidate.reason.score)
    first = found[0]
    related = tuple(dict.fromkeys(name for candidate in found for name in candidate.related))
    position = max(candidate.position for candidate in found)
    reasons = tuple(candidate.reason for candidate in found)
    # Several reasons for one object make a mistake more likely, but count less than a strong one.
    score = first.reason.score + 0.1 * (len(reasons) - 1)
    return Flag(first.object, (first.id,), first.name, 1, position, score, reasons, related)
