"""Flag: an unusual change of one object, or one that many objects share, with reasons and the event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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


class CandidateGroup(NamedTuple):
    """Candidates of one kind of object that are alike, as columns: of a million, few ever become objects.

    Attributes:
        object: The kind of the objects.
        code: The code of their reasons.
        ids: The id of each, strings; shape (n,).
        positions: The position of the event of each, int64; shape (n,).
        scores: The score of each, float64; shape (n,).
        make_candidate: Makes the candidate of an index.
        related: Lists of ids of other objects; None: there are none.
    """

    object: str
    code: str
    ids: pa.Array
    positions: NDArray[np.int64]
    scores: NDArray[np.float64]
    make_candidate: Callable[[int], FlagCandidate]
    related: pa.Array | None = None


Choice = Callable[[CandidateGroup], NDArray[np.bool_]]
"""Which candidates of a group to show."""


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
    candidates: Iterable[FlagCandidate | CandidateGroup], changed: int, choose: Choice | None = None
) -> list[Flag]:
    """Return flags by falling score: one for each object with all its reasons, and one for many that changed alike.

    `changed` is the number of objects that differ. What happened to more than 2 % of them, and to more than 15, is the
    change itself: those objects become one flag, except for the outliers among them. Only candidates that `choose`
    selects become flags, but what is usual depends on all.
    """
    by_object: dict[tuple[str, str], list[FlagCandidate]] = defaultdict(list)
    joined = []
    for group in group_candidates(candidates):
        is_listed = _find_listed(group.scores, max(_MAX_ALIKE, _MAX_SHARE * changed))
        is_chosen = np.ones(len(is_listed), bool) if choose is None else choose(group)
        if (alike := np.flatnonzero(~is_listed & is_chosen)).size:
            joined.append(_join_alike(group, alike))
        for index in np.flatnonzero(is_listed & is_chosen):
            candidate = group.make_candidate(int(index))
            by_object[candidate.object, candidate.id].append(candidate)
    flags = joined + [_join_reasons(found) for found in by_object.values()]
    return sorted(flags, key=lambda flag: (-flag.score, flag.object, flag.name))


def group_candidates(candidates: Iterable[FlagCandidate | CandidateGroup]) -> list[CandidateGroup]:
    """Return groups, and candidates that are alike as one, in the order in which each group began."""
    groups: dict[tuple[str, ...], CandidateGroup | list[FlagCandidate]] = {}
    for number, item in enumerate(candidates):
        if isinstance(item, CandidateGroup):
            groups[(str(number),)] = item
            continue
        found = groups.setdefault((item.object, item.reason.alike), [])
        assert isinstance(found, list)
        found.append(item)
    return [_make_group(group) if isinstance(group, list) else group for group in groups.values()]


def split_rows(table: pa.Table, columns: Sequence[str]) -> Iterator[tuple[dict[str, Any], pa.Table]]:
    """Yield the rows that have equal values in some columns, and those values; in the order of the first rows."""
    numbered = table.select(list(columns)).append_column("row", pa.array(np.arange(len(table))))
    grouped = numbered.group_by(list(columns), use_threads=False).aggregate([("row", "list")])
    rows = grouped["row_list"].combine_chunks()
    for number, values in enumerate(grouped.select(list(columns)).to_pylist()):
        yield values, table.take(rows[number].values)


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


def _make_group(found: Sequence[FlagCandidate]) -> CandidateGroup:
    first = found[0]
    return CandidateGroup(
        object=first.object,
        code=first.reason.code,
        ids=pa.array([item.id for item in found], pa.string()),
        positions=np.array([item.position for item in found], np.int64),
        scores=np.array([item.reason.score for item in found], np.float64),
        make_candidate=found.__getitem__,
        related=pa.array([item.related for item in found], pa.list_(pa.string())),
    )


def _find_listed(scores: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    """Return which candidates to list one by one: all if they are few, else the outliers."""
    if len(scores) <= limit:
        return np.ones(len(scores), bool)
    highest = compute_limit(scores, max(1.0, _OUTLIER_FACTOR * float(np.median(scores))))
    order = np.argsort(-scores, kind="stable")[:_MAX_OUTLIERS]
    is_listed = np.zeros(len(scores), bool)
    is_listed[order[scores[order] > highest]] = True
    return is_listed


def _join_alike(group: CandidateGroup, rows: NDArray[np.int64]) -> Flag:
    ids = group.ids.take(pa.array(rows))
    first_rows = pc.select_k_unstable(ids, k=min(_MAX_NAMES, len(ids)), sort_keys=[("ids", "ascending")])
    first = group.make_candidate(int(rows[first_rows[0].as_py()]))
    names = tuple(ids.take(first_rows).to_pylist())
    text = f"{first.reason.alike} (such as {', '.join(names)})"
    score = min(1.0, float(np.median(group.scores[rows])))
    reason = Reason(first.reason.code, text, score, first.reason.alike)
    name = format_count(len(rows), first.object)
    return Flag(first.object, names, name, len(rows), int(group.positions[rows].max()), score, (reason,), ())


def _join_reasons(found: Sequence[FlagCandidate]) -> Flag:
    found = sorted(found, key=lambda candidate: -candidate.reason.score)
    first = found[0]
    related = tuple(dict.fromkeys(name for candidate in found for name in candidate.related))
    position = max(candidate.position for candidate in found)
    reasons = tuple(candidate.reason for candidate in found)
    # Several reasons for one object make a mistake more likely, but count less than a strong one.
    score = first.reason.score + 0.1 * (len(reasons) - 1)
    return Flag(first.object, (first.id,), first.name, 1, position, score, reasons, related)
