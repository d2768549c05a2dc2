"""Plan the fewest windows of one size that contain all features, with a proven lower bound.

Along one axis, the windows of a raster that contain a feature start between a first and a last position. So a feature
is a rectangle of positions, and a window is a point in the rectangles of all features that it contains. It suffices to
try windows that start at the last position of some feature, in columns and in rows: any other window can be moved to
such a position without losing a feature. What remains is a set multicover problem for each connected component.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, islice, product, zip_longest
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import shapely

from geographer.algorithms.connected_components import NO_LINKS, Links, label_components
from geographer.algorithms.set_cover import SetMulticover, solve_set_cover
from geographer.base.errors import UsageError
from geographer.base.values import Window
from geographer.operations.cut.windows.chip_names import make_grid_chip_name
from geographer.operations.cut.windows.feature_raster_pairs import (
    BoolArray,
    CoverageCounter,
    FeatureRasterPairs,
    IntArray,
    RasterWindow,
    make_pairs,
)
from geographer.operations.cut.windows.plan_tables import (
    FEATURE_TOO_LARGE,
    TOO_MUCH_NODATA,
    WindowPredicate,
    make_chips_table,
    make_unmet_table,
)
from geographer.operations.cut.windows.positions import BorderPolicy, compute_positions

if TYPE_CHECKING:
    from geographer.operations.cut.cover import CutCover

_SAMPLES_PER_AXIS = 5  # positions to try along each axis once a window was rejected


class CoverPlan(NamedTuple):
    """The chips to add (`CHIPS_SCHEMA`), the features in too few chips (`UNMET_SCHEMA`), and a proven bound.

    Covering what the existing chips leave uncovered takes at least `bound` chips.
    """

    chips: pa.Table
    unmet: pa.Table
    bound: int


@dataclass(frozen=True, slots=True)
class _WindowRegion:
    """The windows of a raster that contain the same features, by the columns and rows where they start."""

    raster: int
    cols: range
    rows: range
    size: tuple[int, int]

    def contains_window(self, raster_window: RasterWindow) -> bool:
        raster, window = raster_window
        return raster == self.raster and window.col in self.cols and window.row in self.rows

    def iter_windows(self) -> Iterator[RasterWindow]:
        """Yield the windows: the middle first, then the ends, then the others."""
        cols, rows = (
            dict.fromkeys([starts[(len(starts) - 1) // 2], starts[0], starts[-1], *starts])
            for starts in (self.cols, self.rows)
        )
        yield from ((self.raster, Window(col, row, *self.size)) for row, col in product(rows, cols))


@dataclass(slots=True)
class _CandidateSet:
    """Windows that contain exactly these features (a bitset): regions, each of another raster, and single windows."""

    features: int
    regions: list[_WindowRegion] = field(default_factory=list)
    windows: list[RasterWindow] = field(default_factory=list)

    def count_free(self, unavailable: Collection[RasterWindow]) -> int:
        return len(self.windows) + sum(
            len(region.cols) * len(region.rows) - sum(map(region.contains_window, unavailable))
            for region in self.regions
        )


def plan_cover(
    candidates: pa.Table,
    rasters: pa.Table,
    features: pa.Table,
    recipe: CutCover,
    existing_windows: Collection[tuple[str, Window]] = (),
    accepts_window: WindowPredicate | None = None,
) -> CoverPlan:
    """Plan the fewest chips that, with `existing_windows`, contain every feature `target_count` times.

    A chip contains a feature by the rules of `around.plan_around`. A feature with fewer possible windows than
    `target_count` is contained by all of them. Where windows of several rasters contain the same features, the chips
    come from different rasters as far as possible, by the rasters' ranks. Each window is in the middle of those that
    contain the same features.

    Args:
        candidates: As for `plan_around`.
        rasters: As for `plan_around`.
        features: As for `plan_around`.
        recipe: The options.
        existing_windows: Raster id and window of the existing chips; they count towards `target_count`.
        accepts_window: Reject windows for which this is false. After a rejection, each feature in the window is sought
            in a sample of the windows that contain it in that raster, 5 along each axis (all if there are no more); the
            `bound` then refers to this sample.

    Raises:
        UsageError, NotFoundError: As for `plan_around`.
    """
    if recipe.target_count < 1:
        raise UsageError(f"invalid target count {recipe.target_count}. Use 1 or more.")
    deadline = time.monotonic() + recipe.time_limit
    pairs = make_pairs(candidates, rasters, features)
    coverage = CoverageCounter(pairs)
    taken = list(_find_raster_windows(pairs, existing_windows).values())
    for item in taken:
        coverage.add_window(*item)
    demand = np.maximum(recipe.target_count - coverage.chips_per_feature, 0)

    @cache
    def is_accepted(item: RasterWindow) -> bool:
        return accepts_window is None or accepts_window(pairs.raster_ids[item[0]], item[1])

    solver = _CoverSolver(pairs, recipe.at_border, demand, taken, is_accepted)
    added, bound = solver.solve_components(deadline)
    for item in added:
        coverage.add_window(*item)
    named = [(pairs.raster_ids[raster], window) for raster, window in added]
    chips = [(make_grid_chip_name(id, window.col, window.row), id, None, window) for id, window in named]
    counts = coverage.chips_per_feature
    unmet = make_unmet_table(pairs.feature_ids, pairs.feature, solver.obstacle, counts, recipe.target_count)
    return CoverPlan(make_chips_table(chips), unmet, bound)


def flag_windows_with_features(
    candidates: pa.Table, rasters: pa.Table, features: pa.Table, windows: Sequence[tuple[str, Window]]
) -> list[bool]:
    """Return for each window, given with its raster's id, whether it contains a feature; tables as for `plan_cover`."""
    pairs = make_pairs(candidates, rasters, features)
    coverage, found = CoverageCounter(pairs), _find_raster_windows(pairs, windows)
    return [item in found and len(coverage.find_contained(*found[item])) > 0 for item in windows]


def _find_raster_windows(
    pairs: FeatureRasterPairs, windows: Iterable[tuple[str, Window]]
) -> dict[tuple[str, Window], RasterWindow]:
    """Return the windows with their rasters' indices; windows of rasters that are not in `pairs` are left out."""
    index_of = {raster_id: index for index, raster_id in enumerate(pairs.raster_ids)}
    return {item: (index_of[item[0]], item[1]) for item in windows if item[0] in index_of}


class _CoverSolver:
    """Rectangles of window positions: one for each pair of a feature and a raster that contains it."""

    def __init__(
        self,
        pairs: FeatureRasterPairs,
        at_border: BorderPolicy,
        demand: IntArray,
        taken: Collection[RasterWindow],
        is_accepted: Callable[[RasterWindow], bool],
    ) -> None:
        self.pairs, self.demand, self.taken, self.is_accepted = pairs, demand, taken, is_accepted
        self.columns = compute_positions(pairs.columns, "centered", at_border)
        self.rows = compute_positions(pairs.rows, "centered", at_border)
        fits_one_chip = (self.columns.count == 1) & (self.rows.count == 1)
        obstacle = np.maximum(self.columns.obstacle, self.rows.obstacle)
        self.obstacle: IntArray = np.where(fits_one_chip, obstacle, FEATURE_TOO_LARGE)

    def solve_components(self, deadline: float) -> tuple[list[RasterWindow], int]:
        """Return the windows to add, by raster, row and column, and a lower bound of their number."""
        open_pairs = np.flatnonzero((self.obstacle == 0) & (self.demand[self.pairs.feature] > 0))
        labels = label_components(len(self.demand), self._link_features(open_pairs))[self.pairs.feature[open_pairs]]
        components = [open_pairs[labels == label] for label in np.unique(labels)]
        added, total_bound = [], 0
        for component in sorted(components, key=len):
            windows, bound = _ComponentSolver(self, component).solve_component(deadline)
            added += windows
            total_bound += bound
        return sorted(added, key=lambda item: (item[0], item[1].row, item[1].col)), total_bound

    def _link_features(self, pairs: IntArray) -> Links:
        """Link features that one window can contain together."""
        links = [NO_LINKS]
        for here in self.pairs.split_by_raster(pairs).values():
            sides = (side[here] for side in (self.columns.first, self.rows.first, self.columns.last, self.rows.last))
            boxes = shapely.box(*sides)
            left, right = shapely.STRtree(boxes).query(boxes, predicate="intersects")
            is_first = left < right
            links.append(self.pairs.feature[np.column_stack([here[left[is_first]], here[right[is_first]]])])
        return np.concatenate(links)

    def select_contained(self, raster_window: RasterWindow, pairs: IntArray) -> IntArray:
        """Return those of `pairs` whose feature the window contains."""
        raster, window = raster_window
        here = pairs[self.pairs.raster[pairs] == raster]
        contained: IntArray = here[
            (self.columns.first[here] <= window.col) & (window.col <= self.columns.last[here])
            & (self.rows.first[here] <= window.row) & (window.row <= self.rows.last[here])
        ]  # fmt: skip
        return contained


class _ComponentSolver:
    """Solve one component: features that can share windows, directly or through others.

    All windows of `_open_pairs` are assumed to be acceptable until one is rejected. Of the other pairs, only the
    windows in `_accepted` are.
    """

    def __init__(self, solver: _CoverSolver, pairs: IntArray) -> None:
        self._solver, self._axes, self._feature = solver, (solver.columns, solver.rows), solver.pairs.feature
        self._pairs = self._open_pairs = pairs
        self._features = np.unique(self._feature[pairs])
        self._demand = solver.demand[self._features]
        self._taken = {item for item in solver.taken if len(solver.select_contained(item, pairs))}
        self._accepted: dict[RasterWindow, int] = {}

    def solve_component(self, deadline: float) -> tuple[list[RasterWindow], int]:
        """Return the windows to add and a lower bound of their number; solve again until no window is rejected."""
        while True:
            candidates = self._list_candidates()
            sets = [_list_bits(candidate.features) for candidate in candidates]
            capacities = [
                min(candidate.count_free(self._unavailable_windows), int(self._demand[features].max()))
                for candidate, features in zip(candidates, sets, strict=True)
            ]
            solution = solve_set_cover(SetMulticover(sets, np.array(capacities, np.int64), self._demand), deadline)
            counts = zip(candidates, solution.multiplicity.tolist(), strict=True)
            windows = [item for candidate, count in counts for item in self._take_windows(candidate, count)]
            rejected = [item for item in windows if not self._solver.is_accepted(item)]
            if not rejected:
                return windows, solution.lower_bound
            for item in rejected:
                self._sample_windows(self._solver.select_contained(item, self._open_pairs))

    def _sample_windows(self, pairs: IntArray) -> None:
        """Close pairs: from now on use only the accepted ones in a sample of their windows."""
        for pair in pairs.tolist():
            raster, size = int(self._solver.pairs.raster[pair]), self._get_size(pair)
            cols, rows = (_sample_evenly(int(axis.first[pair]), int(axis.last[pair])) for axis in self._axes)
            for row, col in product(rows, cols):
                item = raster, Window(col, row, *size)
                if item not in self._taken and self._solver.is_accepted(item):
                    indices = self._index_features(self._solver.select_contained(item, self._pairs))
                    self._accepted[item] = sum(1 << index for index in indices.tolist())
        self._open_pairs = np.setdiff1d(self._open_pairs, pairs)
        self._solver.obstacle[pairs] = TOO_MUCH_NODATA

    @property
    def _unavailable_windows(self) -> Collection[RasterWindow]:
        """The windows that no region offers: those taken, and those that are separate candidates."""
        return self._taken | self._accepted.keys()

    def _get_size(self, pair: int) -> tuple[int, int]:
        return int(self._solver.columns.size[pair]), int(self._solver.rows.size[pair])

    def _index_features(self, pairs: IntArray) -> IntArray:
        return np.searchsorted(self._features, self._feature[pairs])

    def _list_candidates(self) -> list[_CandidateSet]:
        """List the candidates of the set cover: one for each maximal region.

        If a region has too few free windows to meet demand, list windows one by one instead. Candidates differ in the
        features they contain, so no window is counted twice.
        """
        unavailable = self._unavailable_windows
        candidates = _drop_dominated(self._group_candidates(self._iter_regions()), self._demand, unavailable)
        if all(item.count_free(unavailable) >= self._demand[_list_bits(item.features)].max() for item in candidates):
            return candidates
        return _drop_dominated(self._group_candidates(self._iter_single_windows()), self._demand, ())

    def _group_candidates(self, regions: Iterable[tuple[int, _WindowRegion]]) -> Collection[_CandidateSet]:
        """Group regions and accepted windows by the features that they contain."""
        candidates: dict[int, _CandidateSet] = {}
        for features, region in regions:
            candidates.setdefault(features, _CandidateSet(features)).regions.append(region)
        for item, features in self._accepted.items():
            candidates.setdefault(features, _CandidateSet(features)).windows.append(item)
        return candidates.values()

    def _iter_regions(self) -> Iterator[tuple[int, _WindowRegion]]:
        """Yield the sets of features in windows that start at features' last positions, each with its region."""
        columns, rows = self._axes
        for raster, here in self._solver.pairs.split_by_raster(self._open_pairs).items():
            seen: set[int] = set()
            left, right = columns.first[here], columns.last[here]
            for pair in here.tolist():
                beside = here[(left <= columns.last[pair]) & (columns.last[pair] <= right)]
                last = rows.last[beside]
                starts = np.unique(last[(rows.first[pair] <= last) & (last <= rows.last[pair])])
                contains, bitsets = self._match_rows(beside, starts)
                for features, mask in zip(bitsets, contains, strict=True):
                    if features not in seen:
                        seen.add(features)
                        yield features, self._make_region(raster, beside[mask])

    def _make_region(self, raster: int, pairs: IntArray) -> _WindowRegion:
        """Make the region that contains `pairs`, without windows across the raster's edge unless it has no others."""
        any_pair = int(pairs[0])
        cols, rows = (
            _clip_range(axis.first[pairs].max(), axis.last[pairs].min(), axis.extent[any_pair] - axis.size[any_pair])
            for axis in self._axes
        )
        return _WindowRegion(raster, cols, rows, self._get_size(any_pair))

    def _iter_single_windows(self) -> Iterator[tuple[int, _WindowRegion]]:
        """Yield windows one by one: at features' last positions, and as many before each as the demand may need.

        Where windows are unavailable, yield as many before each of these, too.
        """
        offsets, unavailable = np.arange(int(self._demand.max())), self._unavailable_windows
        for raster, here in self._solver.pairs.split_by_raster(self._open_pairs).items():
            left, right = self._solver.columns.first[here], self._solver.columns.last[here]
            size = self._get_size(int(here[0]))
            blocked = [(window.col, window.row) for other, window in unavailable if other == raster]
            before_blocked = np.array(blocked, np.int64).reshape(-1, 2).T - 1
            cols, rows = (
                np.unique(np.concatenate([axis.last[here], before])[:, None] - offsets)
                for axis, before in zip(self._axes, before_blocked, strict=True)
            )
            for col in cols.tolist():
                _, bitsets = self._match_rows(here[(left <= col) & (col <= right)], rows)
                for features, row in zip(bitsets, rows.tolist(), strict=True):
                    if features and (raster, Window(col, row, *size)) not in unavailable:
                        yield features, _WindowRegion(raster, range(col, col + 1), range(row, row + 1), size)

    def _match_rows(self, beside: IntArray, starts: IntArray) -> tuple[BoolArray, list[int]]:
        """Return which pairs windows at the rows `starts` contain: as booleans, shape (rows, pairs), and as bitsets.

        The windows are in a column in which they contain all pairs in `beside`.
        """
        rows = self._solver.rows
        contains = (rows.first[beside] <= starts[:, None]) & (starts[:, None] <= rows.last[beside])
        bits = np.zeros((len(starts), len(self._features)), np.bool_)
        bits[:, self._index_features(beside)] = contains
        octets = np.packbits(bits, axis=1, bitorder="little")
        return contains, [int.from_bytes(row.tobytes(), "little") for row in octets]

    def _take_windows(self, candidate: _CandidateSet, count: int) -> Iterator[RasterWindow]:
        """Return `count` free windows of a candidate, from its rasters in rotation."""
        unavailable = self._unavailable_windows
        by_raster: dict[int, list[Iterable[RasterWindow]]] = {}
        for region in candidate.regions:
            free = (item for item in region.iter_windows() if item not in unavailable)
            by_raster.setdefault(region.raster, []).append(free)
        for item in candidate.windows:
            by_raster.setdefault(item[0], []).append([item])
        rounds = zip_longest(*(chain.from_iterable(by_raster[raster]) for raster in sorted(by_raster)))
        return islice((item for items in rounds for item in items if item is not None), count)


def _drop_dominated(
    candidates: Iterable[_CandidateSet], demand: IntArray, unavailable: Collection[RasterWindow]
) -> list[_CandidateSet]:
    """Drop candidates whose features are contained in another candidate that has enough free windows."""
    kept: list[_CandidateSet] = []
    ample_sets: dict[int, list[int]] = {}
    for candidate in sorted(candidates, key=lambda candidate: -candidate.features.bit_count()):
        indices = _list_bits(candidate.features)
        fewest_to_compare = min((ample_sets.get(index, []) for index in indices.tolist()), key=len)
        if any(candidate.features & other == candidate.features for other in fewest_to_compare):
            continue
        kept.append(candidate)
        if candidate.count_free(unavailable) >= demand[indices].max():
            for index in indices.tolist():
                ample_sets.setdefault(index, []).append(candidate.features)
    return kept


def _list_bits(bitset: int) -> IntArray:
    octets = np.frombuffer(bitset.to_bytes(bitset.bit_length() // 8 + 1, "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(octets, bitorder="little"))


def _clip_range(first: int, last: int, limit: int) -> range:
    """Return the positions from 0 to `limit`, or all if none are."""
    return range(max(first, 0), min(last, limit) + 1) or range(first, last + 1)


def _sample_evenly(first: int, last: int) -> list[int]:
    """Return evenly spaced positions from first to last, sorted by their distance from the middle."""
    positions = np.unique(np.rint(np.linspace(first, last, _SAMPLES_PER_AXIS)).astype(np.int64)).tolist()
    return sorted(positions, key=lambda position: (abs(2 * position - first - last), position))
