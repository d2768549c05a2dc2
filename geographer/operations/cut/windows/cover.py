"""Plan the fewest windows of one size that contain all features, with a proven lower bound.

Along one axis, the windows of a raster that contain a feature start between a first and a last position. So a feature
is a rectangle of positions, and a window is a point in the rectangles of all features that it contains. It suffices to
try windows that start at the last position of some feature, in columns and in rows: any other window can be moved to
such a position without losing a feature. What remains is a set multicover problem for each connected component.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, islice, product, zip_longest
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import shapely

from geographer.algorithms.connected_components import NO_LINKS, Bools, Ints, Links, group_indices, label_components
from geographer.algorithms.set_cover import SetMulticover, solve_set_cover
from geographer.base.values import Window
from geographer.operations.cut.windows.chip_names import make_grid_chip_name
from geographer.operations.cut.windows.chips import Chip, Obstacle, RasterWindow, Shortage, WindowFilter, list_unmet
from geographer.operations.cut.windows.feature_raster_pairs import CoverageCounter, FeatureRasterPairs, make_pairs
from geographer.operations.cut.windows.positions import compute_positions

if TYPE_CHECKING:
    from geographer.operations.cut.cover import CutCover

_SAMPLES_PER_AXIS = 5  # positions to try along each axis once a window was rejected


class CoverPlan(NamedTuple):
    """The chips to keep and to add, the features in too few chips, and the proven least number of chips to add."""

    kept: list[Chip]
    chips: list[Chip]
    unmet: list[Shortage]
    bound: int


@dataclass(frozen=True, slots=True)
class _WindowRegion:
    """The windows of a raster that contain the same features, by the columns and rows where they start."""

    raster: int
    cols: range
    rows: range
    size: tuple[int, int]

    def count_free(self, unavailable: Collection[RasterWindow]) -> int:
        inside = (window.col in self.cols and window.row in self.rows for i, window in unavailable if i == self.raster)
        return len(self.cols) * len(self.rows) - sum(inside)

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
        return len(self.windows) + sum(region.count_free(unavailable) for region in self.regions)


def plan_cover(
    candidates: pa.Table,
    rasters: pa.Table,
    features: pa.Table,
    recipe: "CutCover",
    existing: Sequence[Chip],
    accepts_window: WindowFilter,
) -> CoverPlan:
    """Plan the fewest chips that, with those of `existing` that contain a feature, contain each `target_count` times.

    Tables, `accepts_window`, errors and what a chip contains are as for `around.plan_around`. A feature with fewer
    possible windows than `target_count` is contained by all of them. Where windows of several rasters contain the same
    features, the chips come from different rasters as far as possible, by the rasters' ranks. Each window is in the
    middle of those that contain the same features.

    After `time_limit` seconds, the best cover found so far is used. Each feature in a rejected window is sought in a
    sample of the windows that contain it in that raster, 5 along each axis; the bound then refers to this sample.
    """
    deadline = time.monotonic() + recipe.time_limit
    pairs = make_pairs(candidates, rasters, features)
    coverage = CoverageCounter(pairs)
    index_of = {raster_id: index for index, raster_id in enumerate(pairs.raster_ids)}
    kept = [chip for chip in existing if len(coverage.find_contained(index_of.get(chip.raster_id, -1), chip.window))]
    for chip in kept:
        coverage.add_window(index_of[chip.raster_id], chip.window)
    solver = _CoverSolver(pairs, recipe, coverage, accepts_window)
    added, bound = solver.solve_components(deadline)
    for item in added:
        coverage.add_window(*item)
    named = [(pairs.raster_ids[raster], window) for raster, window in added]
    chips = [Chip(make_grid_chip_name(id, window.col, window.row), id, None, window) for id, window in named]
    obstacles = zip(pairs.feature.tolist(), solver.obstacle.tolist(), strict=True)
    counts = coverage.chips_per_feature.tolist()
    return CoverPlan(kept, chips, list_unmet(pairs.feature_ids, obstacles, counts, recipe.target_count), bound)


class _CoverSolver:
    """Rectangles of window positions: one for each pair of a feature and a raster that contains it."""

    def __init__(
        self, pairs: FeatureRasterPairs, recipe: "CutCover", coverage: CoverageCounter, accepts_window: WindowFilter
    ) -> None:
        self.pairs, self.taken = pairs, set(coverage.windows)
        self.demand = np.maximum(recipe.target_count - coverage.chips_per_feature, 0)
        self.is_accepted = cache(lambda item: accepts_window(pairs.raster_ids[item[0]], item[1]))
        axes = pairs.columns, pairs.rows
        self.columns, self.rows = (compute_positions(axis, "centered", recipe.at_border) for axis in axes)
        fits_one_chip = (self.columns.count == 1) & (self.rows.count == 1)
        obstacle = np.maximum(self.columns.obstacle, self.rows.obstacle)
        self.obstacle: Ints = np.where(fits_one_chip, obstacle, Obstacle.FEATURE_TOO_LARGE)

    def solve_components(self, deadline: float) -> tuple[list[RasterWindow], int]:
        """Return the windows to add, by raster, row and column, and a lower bound of their number."""
        open_pairs = np.flatnonzero((self.obstacle == 0) & (self.demand[self.pairs.feature] > 0))
        labels = label_components(len(self.demand), self._link_features(open_pairs))[self.pairs.feature[open_pairs]]
        added, total_bound = [], 0
        for component in sorted(group_indices(labels).values(), key=len):
            windows, bound = _ComponentSolver(self, open_pairs[component]).solve_component(deadline)
            added += windows
            total_bound += bound
        return sorted(added, key=lambda item: (item[0], item[1].row, item[1].col)), total_bound

    def _link_features(self, pairs: Ints) -> Links:
        """Link features that one window can contain together."""
        links = [NO_LINKS]
        for here in self.pairs.split_by_raster(pairs).values():
            sides = (side[here] for side in (self.columns.first, self.rows.first, self.columns.last, self.rows.last))
            boxes = shapely.box(*sides)
            left, right = shapely.STRtree(boxes).query(boxes, predicate="intersects")
            is_first = left < right
            links.append(self.pairs.feature[np.column_stack([here[left[is_first]], here[right[is_first]]])])
        return np.concatenate(links)

    def select_contained(self, raster_window: RasterWindow, pairs: Ints) -> Ints:
        """Return those of `pairs` whose feature the window contains."""
        raster, window = raster_window
        here = pairs[self.pairs.raster[pairs] == raster]
        contained: Ints = here[
            (self.columns.first[here] <= window.col) & (window.col <= self.columns.last[here])
            & (self.rows.first[here] <= window.row) & (window.row <= self.rows.last[here])
        ]  # fmt: skip
        return contained


class _ComponentSolver:
    """Solve one component: features that can share windows, directly or through others.

    All windows of `_open_pairs` count as acceptable until one is rejected; of other pairs, only those in `_accepted`.
    """

    def __init__(self, solver: _CoverSolver, pairs: Ints) -> None:
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

    def _sample_windows(self, pairs: Ints) -> None:
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
        self._solver.obstacle[pairs] = Obstacle.TOO_MUCH_NODATA

    @property
    def _unavailable_windows(self) -> Collection[RasterWindow]:
        """The windows that no region offers: those taken, and those that are separate candidates."""
        return self._taken | self._accepted.keys()

    def _get_size(self, pair: int) -> tuple[int, int]:
        return int(self._solver.columns.size[pair]), int(self._solver.rows.size[pair])

    def _index_features(self, pairs: Ints) -> Ints:
        return np.searchsorted(self._features, self._feature[pairs])

    def _list_candidates(self) -> list[_CandidateSet]:
        """List the candidates of the set cover: one for each maximal region, each with other features.

        If a region has too few free windows to meet demand, list windows one by one instead.
        """
        unavailable = self._unavailable_windows
        candidates = _drop_dominated(self._group_candidates(self._iter_regions()), self._demand, unavailable)
        if all(item.count_free(unavailable) >= self._demand[_list_bits(item.features)].max() for item in candidates):
            return candidates
        return _drop_dominated(self._group_candidates(self._iter_single_windows()), self._demand, ())

    def _group_candidates(self, regions: Iterable[tuple[int, _WindowRegion]]) -> Collection[_CandidateSet]:
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

    def _make_region(self, raster: int, pairs: Ints) -> _WindowRegion:
        """Make the region that contains `pairs`, without windows across the raster's edge unless it has no others."""
        any_pair = int(pairs[0])
        starts = []
        for axis in self._axes:
            first, last = int(axis.first[pairs].max()), int(axis.last[pairs].min())
            limit = int(axis.extent[any_pair] - axis.size[any_pair])
            starts.append(range(max(first, 0), min(last, limit) + 1) or range(first, last + 1))
        cols, rows = starts
        return _WindowRegion(raster, cols, rows, self._get_size(any_pair))

    def _iter_single_windows(self) -> Iterator[tuple[int, _WindowRegion]]:
        """Yield windows one by one: as many as demand may need, up to features' last positions or unavailable ones."""
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

    def _match_rows(self, beside: Ints, starts: Ints) -> tuple[Bools, list[int]]:
        """Return which of `beside` windows at the rows `starts` contain: as booleans, (rows, pairs), and as bitsets."""
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
    candidates: Iterable[_CandidateSet], demand: Ints, unavailable: Collection[RasterWindow]
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


def _list_bits(bitset: int) -> Ints:
    octets = np.frombuffer(bitset.to_bytes(bitset.bit_length() // 8 + 1, "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(octets, bitorder="little"))


def _sample_evenly(first: int, last: int) -> list[int]:
    """Return evenly spaced positions from first to last, sorted by their distance from the middle."""
    positions = np.unique(np.rint(np.linspace(first, last, _SAMPLES_PER_AXIS)).astype(np.int64)).tolist()
    return sorted(positions, key=lambda position: (abs(2 * position - first - last), position))
