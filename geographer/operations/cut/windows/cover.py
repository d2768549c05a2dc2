"""Which windows of one size contain all features with the fewest chips, and how few are proven to be possible.

Along one axis, the windows of a raster that contain a feature begin between a first and a last position; so a feature
is a rectangle of positions, and a window is a point that pierces all the rectangles of what it contains. It is enough
to look at windows that begin at the last position of some feature, in columns and in rows: any other can be moved on
to one without losing a feature.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, product

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from geographer.algorithms.connected_components import NO_LINKS, Ints, Links, components
from geographer.algorithms.set_cover import Problem, solve_set_cover
from geographer.base.errors import UsageError
from geographer.base.values import Window
from geographer.operations.cut.windows.chip_names import cell_name
from geographer.operations.cut.windows.plan_tables import Fits, check_sizes, chips_table, unmet_table
from geographer.operations.cut.windows.positions import LARGER, NODATA, AtBorder, Pairs, Tally, pairs_of, places

_TRIED = 5  # along each axis, where windows are to be found by their pixels

Spot = tuple[int, Window]
"""A raster, by its row, and one of its windows."""

Good = Callable[[Spot], bool]
"""Whether a window will do, by its pixels."""


@dataclass(frozen=True, slots=True)
class CoverPlan:
    """The chips to add (`windows.CHIPS`), the features short of chips (`windows.UNMET`), and what is proven.

    No cover of what the chips that there were leave uncovered takes fewer than `bound` chips.
    """

    chips: pa.Table
    unmet: pa.Table
    bound: int


@dataclass(frozen=True, slots=True)
class Region:
    """The windows of a raster that contain the same features: columns and rows from a first to a last position."""

    raster: int
    first_col: int
    last_col: int
    first_row: int
    last_row: int

    @property
    def count(self) -> int:
        """How many windows there are."""
        return (self.last_col - self.first_col + 1) * (self.last_row - self.first_row + 1)

    def holds(self, spot: Spot) -> bool:
        """Whether a window is one of them."""
        raster, window = spot
        return (
            raster == self.raster
            and self.first_col <= window.col <= self.last_col
            and self.first_row <= window.row <= self.last_row
        )

    def positions(self) -> Iterator[tuple[int, int]]:
        """Columns and rows of all of them: the middle first, then away from it."""
        cols, rows = (
            _from_middle(first, last)
            for first, last in ((self.first_col, self.last_col), (self.first_row, self.last_row))
        )
        yield from ((col, row) for row in rows for col in cols)


@dataclass(slots=True)
class _Choice:
    """Windows that contain these features (a set of bits): regions, each of another raster, and single windows."""

    members: int
    regions: list[Region] = field(default_factory=list)
    spots: list[Spot] = field(default_factory=list)

    def free(self, taken: Collection[Spot]) -> int:
        """How many of the windows are not taken."""
        return len(self.spots) + sum(
            region.count - sum(region.holds(spot) for spot in taken) for region in self.regions
        )


def plan_cover(
    candidates: pa.Table,
    rasters: pa.Table,
    selected: pa.Table,
    *,
    times: int = 1,
    at_border: AtBorder = "shift",
    existing: Collection[tuple[str, Window]] = (),
    seconds: float = 60.0,
    fits: Fits | None = None,
) -> CoverPlan:
    """The fewest chips that, with the `existing` ones, contain every feature `times` times.

    What contains is as for `around.plan_around`. A feature that lies in fewer windows than that is contained by all of
    them. Where windows of several rasters contain the same features, they come from different rasters as far as these
    go, in the order of their turns. Each window is in the middle of those that contain the same.

    Args:
        candidates: as for `plan_around`.
        rasters: as for `plan_around`.
        selected: as for `plan_around`.
        times: how many different chips are to contain each feature.
        at_border: `shift`: windows lie inside their rasters; `pad`: they may reach over the edge.
        existing: chips that there are: the raster's id and the window; their features need as many fewer.
        seconds: how long the search for a proof may take; then the best known cover is taken.
        fits: whether a window will do, by its pixels. Where one will not, each feature in it is looked for in windows
            spread over all that contain it in that raster, 5 along each axis (all, where there are no more); the
            `bound` is then about these.

    Raises:
        UsageError, NotFoundError: as for `plan_around`.
    """
    if times < 1:
        raise UsageError(f"to contain features {times} times asks for no chip: pass 1 or more")
    check_sizes(rasters)
    deadline = time.monotonic() + seconds
    features, scenes = selected.sort_by("turn"), rasters.sort_by("turn")
    feature_ids, raster_ids = features["feature_id"].to_pylist(), scenes["raster_id"].to_pylist()
    pairs = pairs_of(candidates, features, scenes)
    covering = _Covering(pairs, scenes, at_border)
    tally = Tally(pairs, len(feature_ids))
    row_of = {raster_id: row for row, raster_id in enumerate(raster_ids)}
    taken = [(row_of[raster_id], window) for raster_id, window in existing if raster_id in row_of]
    for raster, window in taken:
        tally.add(raster, window)
    needs = np.maximum(times - tally.of_feature, 0)
    good = (lambda spot: fits(raster_ids[spot[0]], spot[1])) if fits else (lambda _: True)
    spots, bound = covering.solved(needs, taken, deadline, good)
    for raster, window in spots:
        tally.add(raster, window)
    turns = np.searchsorted(pairs.feature, np.arange(len(feature_ids) + 1)).tolist()
    return CoverPlan(
        chips_table(
            [(cell_name(raster_ids[raster], window.col, window.row), raster_ids[raster], None, window)
             for raster, window in spots]
        ),
        unmet_table(feature_ids, turns, tally.of_feature, covering.obstacle, times),
        bound,
    )  # fmt: skip


def holding(
    candidates: pa.Table, rasters: pa.Table, selected: pa.Table, windows: Sequence[tuple[str, Window]]
) -> list[bool]:
    """Which of the windows, each with its raster's id, contain a feature; the tables are those of `plan_cover`."""
    features, scenes = selected.sort_by("turn"), rasters.sort_by("turn")
    tally = Tally(pairs_of(candidates, features, scenes), len(features))
    row_of = {raster_id: row for row, raster_id in enumerate(scenes["raster_id"].to_pylist())}
    return [
        raster_id in row_of and bool(len(tally.contained(row_of[raster_id], window))) for raster_id, window in windows
    ]


class _Covering:
    """Rectangles of positions, raster by raster: one for each pair of a feature and a raster that contains it."""

    def __init__(self, pairs: Pairs, scenes: pa.Table, at_border: AtBorder) -> None:
        width, height = (scenes[name].to_numpy()[pairs.raster] for name in ("chip_width", "chip_height"))
        self.pairs = pairs
        self.across = places(pairs.columns, width, "centered", at_border)
        self.down = places(pairs.rows, height, "centered", at_border)
        single = (self.across.count == 1) & (self.down.count == 1)
        self.obstacle: Ints = np.where(single, np.maximum(self.across.obstacle, self.down.obstacle), LARGER)

    def solved(self, needs: Ints, taken: Collection[Spot], deadline: float, good: Good) -> tuple[list[Spot], int]:
        """The windows to add, by raster, row and column, and how few are possible."""
        open_pairs = np.flatnonzero((self.obstacle == 0) & (needs[self.pairs.feature] > 0))
        labels = components(len(needs), self._links(open_pairs))[self.pairs.feature[open_pairs]]
        parts = [open_pairs[labels == label] for label in np.unique(labels)]
        spots, bound = [], 0
        for part in sorted(parts, key=len):
            found, least = _Part(self, part, needs, taken).solved(deadline, good)
            spots += found
            bound += least
        return sorted(spots, key=lambda spot: (spot[0], spot[1].row, spot[1].col)), bound

    def _links(self, rows: Ints) -> Links:
        """Features that some window contains together, and those of one feature's pairs, which need no link."""
        found = [NO_LINKS]
        for here in _by_raster(self.pairs.raster, rows):
            boxes = shapely.box(
                self.across.first[here], self.down.first[here], self.across.last[here], self.down.last[here]
            )
            one, other = shapely.STRtree(boxes).query(boxes, predicate="intersects")
            apart = one < other
            found.append(self.pairs.feature[np.column_stack([here[one[apart]], here[other[apart]]])])
        return np.concatenate(found)

    def holding(self, spot: Spot, pairs: Ints) -> Ints:
        """Those of the pairs whose feature a window of their raster contains."""
        raster, window = spot
        here = pairs[self.pairs.raster[pairs] == raster]
        held: Ints = here[
            (self.across.first[here] <= window.col) & (window.col <= self.across.last[here])
            & (self.down.first[here] <= window.row) & (window.row <= self.down.last[here])
        ]  # fmt: skip
        return held


class _Part:
    """One component: features that have windows in common, and what is known of these windows.

    The windows of `_open` pairs are taken to be good until one turns out not to be. Of the other pairs those in `_good`
    are, and there are no others.
    """

    def __init__(self, covering: _Covering, pairs: Ints, needs: Ints, taken: Collection[Spot]) -> None:
        self._covering, self._across, self._down = covering, covering.across, covering.down
        self._feature, self._raster = covering.pairs.feature, covering.pairs.raster
        self._pairs = self._open = pairs
        self._features = np.unique(self._feature[pairs])
        self._wanted = needs[self._features]
        self._taken = {spot for spot in taken if len(covering.holding(spot, pairs))}
        self._good: dict[Spot, int] = {}
        self._judged: dict[Spot, bool] = {}

    def solved(self, deadline: float, good: Good) -> tuple[list[Spot], int]:
        """The windows to add, and how few are possible; sought again as long as some turn out to be no good."""
        while True:
            choices = self._choices()
            sets = [_members(choice.members) for choice in choices]
            most = [
                min(choice.free(self._shut), int(self._wanted[one].max()))
                for choice, one in zip(choices, sets, strict=True)
            ]
            cover = solve_set_cover(Problem(sets, np.array(most, np.int64), self._wanted), deadline)
            counts = cover.taken.tolist()
            spots = [spot for one, count in zip(choices, counts, strict=True) for spot in self._spots(one, count)]
            bad = [spot for spot in spots if not self._is_good(spot, good)]
            if not bad:
                return spots, cover.bound
            for spot in bad:
                self._look_closer(self._covering.holding(spot, self._open), good)

    def _is_good(self, spot: Spot, good: Good) -> bool:
        """What `good` says, asked once."""
        if spot not in self._judged:
            self._judged[spot] = good(spot)
        return self._judged[spot]

    def _look_closer(self, pairs: Ints, good: Good) -> None:
        """Find good windows of pairs among those that are spread over all of them, and leave out the others."""
        for pair in pairs.tolist():
            size = int(self._across.size[pair]), int(self._down.size[pair])
            cols, rows = (_spread(int(axis.first[pair]), int(axis.last[pair])) for axis in (self._across, self._down))
            for row, col in product(rows, cols):
                spot = int(self._raster[pair]), Window(col, row, *size)
                if spot not in self._taken and self._is_good(spot, good):
                    held = self._covering.holding(spot, self._pairs)
                    self._good[spot] = _bits_of(np.searchsorted(self._features, self._feature[held]))
        self._open = np.setdiff1d(self._open, pairs)
        self._covering.obstacle[pairs] = NODATA

    @property
    def _shut(self) -> Collection[Spot]:
        """The windows that no region has: those that are taken, and those that stand for themselves."""
        return self._taken | self._good.keys()

    def _choices(self) -> list[_Choice]:
        """Windows worth a thought: by the regions that hold the largest sets, or one by one where these are too small.

        Windows that are told apart by all that they contain are different windows, so none is counted twice.
        """
        worthy = _worthy(self._with_good(self._regions()), self._wanted, self._shut)
        if all(choice.free(self._shut) >= self._wanted[_members(choice.members)].max() for choice in worthy):
            return worthy
        return _worthy(self._with_good(self._windows()), self._wanted, ())

    def _with_good(self, regions: Iterable[tuple[int, Region]]) -> Collection[_Choice]:
        """Regions, and the windows that are known to be good, by what they contain."""
        choices: dict[int, _Choice] = {}
        for members, region in regions:
            choices.setdefault(members, _Choice(members)).regions.append(region)
        for spot, members in self._good.items():
            choices.setdefault(members, _Choice(members)).spots.append(spot)
        return choices.values()

    def _regions(self) -> Iterator[tuple[int, Region]]:
        """The sets of features that windows contain which begin at features' last positions, each with its region."""
        for here in _by_raster(self._raster, self._open):
            raster = int(self._raster[here[0]])
            left, right = self._across.first[here], self._across.last[here]
            top, bottom = self._down.first[here], self._down.last[here]
            places_of = np.searchsorted(self._features, self._feature[here])
            seen: set[int] = set()
            for one in range(len(here)):
                beside = np.flatnonzero((left <= right[one]) & (right[one] <= right))
                rows = np.unique(bottom[beside][(top[one] <= bottom[beside]) & (bottom[beside] <= bottom[one])])
                held = (top[beside] <= rows[:, None]) & (rows[:, None] <= bottom[beside])
                for members, inside in zip(_bits(held, places_of[beside], len(self._features)), held, strict=True):
                    if members not in seen:
                        seen.add(members)
                        among = beside[inside]
                        yield (
                            members,
                            self._region(
                                raster, int(left[among].max()), int(right[among].min()), int(top[among].max()),
                                int(bottom[among].min()), int(here[one]),
                            ),
                        )  # fmt: skip

    def _region(self, raster: int, left: int, right: int, top: int, bottom: int, pair: int) -> Region:
        """The region, without windows that reach over the raster's edge if there are others."""
        cols = _inside(left, right, int(self._across.extent[pair] - self._across.size[pair]))
        rows = _inside(top, bottom, int(self._down.extent[pair] - self._down.size[pair]))
        return Region(raster, *cols, *rows)

    def _windows(self) -> Iterator[tuple[int, Region]]:
        """Windows one by one: those at features' last positions, and as many before each as may be needed.

        Where windows are shut, as many before each of these, too.
        """
        back, shut = np.arange(int(self._wanted.max())), self._shut
        for here in _by_raster(self._raster, self._open):
            raster, pair = int(self._raster[here[0]]), int(here[0])
            size = int(self._across.size[pair]), int(self._down.size[pair])
            left, right = self._across.first[here], self._across.last[here]
            top, bottom = self._down.first[here], self._down.last[here]
            places_of = np.searchsorted(self._features, self._feature[here])
            shut_here = np.array([(w.col, w.row) for r, w in shut if r == raster], np.int64).reshape(-1, 2) - 1
            rows = np.unique(np.concatenate([bottom, shut_here[:, 1]])[:, None] - back)
            for col in np.unique(np.concatenate([right, shut_here[:, 0]])[:, None] - back).tolist():
                beside = np.flatnonzero((left <= col) & (col <= right))
                held = (top[beside] <= rows[:, None]) & (rows[:, None] <= bottom[beside])
                members = _bits(held, places_of[beside], len(self._features))
                for some, row in zip(members, rows.tolist(), strict=True):
                    if some and (raster, Window(col, row, *size)) not in shut:
                        yield some, Region(raster, col, col, row, row)

    def _spots(self, choice: _Choice, count: int) -> Iterator[Spot]:
        """So many windows of a choice, from one raster after the other."""
        by_raster: dict[int, list[Iterable[Spot]]] = {}
        for region in choice.regions:
            by_raster.setdefault(region.raster, []).append(self._free_spots(region))
        for spot in choice.spots:
            by_raster.setdefault(spot[0], []).append([spot])
        sources = deque(chain.from_iterable(by_raster[raster]) for raster in sorted(by_raster))
        while count and sources:
            source = sources.popleft()
            for found in islice(source, 1):
                yield found
                count -= 1
                sources.append(source)

    def _free_spots(self, region: Region) -> Iterator[Spot]:
        pair = self._pairs[self._raster[self._pairs] == region.raster][0]
        size, shut = (int(self._across.size[pair]), int(self._down.size[pair])), self._shut
        for col, row in region.positions():
            spot = region.raster, Window(col, row, *size)
            if spot not in shut:
                yield spot


def _by_raster(raster: Ints, rows: Ints) -> list[Ints]:
    """`rows` of the pairs, raster by raster."""
    ordered = rows[np.argsort(raster[rows], kind="stable")]
    return np.split(ordered, np.flatnonzero(np.diff(raster[ordered])) + 1) if len(rows) else []


def _worthy(choices: Iterable[_Choice], wanted: Ints, taken: Collection[Spot]) -> list[_Choice]:
    """The choices without those whose features another contains too, in as many windows as can be needed."""
    kept: list[_Choice] = []
    ample: dict[int, list[int]] = {}
    for choice in sorted(choices, key=lambda choice: -choice.members.bit_count()):
        members = _members(choice.members)
        fewest_to_try = min((ample.get(member, []) for member in members.tolist()), key=len)
        if any(choice.members & other == choice.members for other in fewest_to_try):
            continue
        kept.append(choice)
        if choice.free(taken) >= wanted[members].max():
            for member in members.tolist():
                ample.setdefault(member, []).append(choice.members)
    return kept


def _bits(held: npt.NDArray[np.bool_], places_of: Ints, count: int) -> list[int]:
    """Each row of `held` as a set of bits, at the places that its columns stand for."""
    whole = np.zeros((len(held), count), np.bool_)
    whole[:, places_of] = held
    return [int.from_bytes(row.tobytes(), "little") for row in np.packbits(whole, axis=1, bitorder="little")]


def _members(bits: int) -> Ints:
    """The places of the bits that are set."""
    octets = np.frombuffer(bits.to_bytes(bits.bit_length() // 8 + 1, "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(octets, bitorder="little"))


def _bits_of(places: Ints) -> int:
    """The set with the bits at these places."""
    return sum(1 << place for place in places.tolist())


def _inside(first: int, last: int, room: int) -> tuple[int, int]:
    """The positions between 0 and `room`, or all if there are none."""
    low, high = max(first, 0), min(last, room)
    return (low, high) if low <= high else (first, last)


def _from_middle(first: int, last: int) -> list[int]:
    """All positions: the middle, the ends, and then the others."""
    return list(dict.fromkeys([(first + last) // 2, first, last, *range(first, last + 1)]))


def _spread(first: int, last: int) -> list[int]:
    """Positions from the first to the last, evenly: the middle, and what is nearest to it."""
    places = np.unique(np.rint(np.linspace(first, last, _TRIED)).astype(np.int64)).tolist()
    return sorted(places, key=lambda place: (abs(2 * place - first - last), place))
