"""Where a window can lie so that it contains a feature, and which features a window contains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.base.values import Window

Mode = Literal["centered", "random", "variable"]
AtBorder = Literal["shift", "pad", "skip"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Why a raster gives a feature no chip, by number. Where several hold, the last one is told.
OBSTACLES = (
    "",
    "its chip would cross the raster's edge",
    "no window inside the raster holds it",
    "raster smaller than a chip",
    "larger than a chip",
    "too much nodata",
)
CROSSES, NONE_INSIDE, RASTER_SMALLER, LARGER, NODATA = range(1, len(OBSTACLES))
_STEPS = 1024  # a feature's centre is rounded to this fraction of a pixel


@dataclass(frozen=True, slots=True)
class Axis:
    """Pairs of feature and raster along one axis of the raster, turned so that coordinates grow with pixels.

    `low` and `high` bound the feature, `origin + step * n` is where the raster's pixel n begins (all float64,
    in the unit of the raster's CRS, `step` > 0), and `extent` is the raster's size in pixels (int64). All
    have the shape (pairs,).
    """

    low: Floats
    high: Floats
    origin: Floats
    step: Floats
    extent: Ints

    @classmethod
    def turned(cls, low: Floats, high: Floats, origin: Floats, step: Floats, extent: Ints) -> Axis:
        """The axis, all negated where `step` is negative; negation is exact, so this moves no edge."""
        falls = step < 0
        sign = np.where(falls, -1.0, 1.0)
        return cls(np.where(falls, -high, low), np.where(falls, -low, high), origin * sign, step * sign, extent)

    def edges(self, position: Ints | int, size: Ints | int, pairs: Ints | slice = slice(None)) -> tuple[Floats, Floats]:
        """Where windows begin and end, rounded as by `values.Transform.of` and rasterio's `bounds`."""
        step = self.step[pairs]
        begin = self.origin[pairs] + step * position
        return begin, begin + step * size


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of a feature and a raster that contains it, ordered by feature, then raster.

    `feature` and `raster` are row numbers (int64) of the caller's tables; all have the shape (pairs,).
    """

    feature: Ints
    raster: Ints
    columns: Axis
    rows: Axis


def pairs_of(candidates: pa.Table, features: pa.Table, scenes: pa.Table) -> Pairs:
    """The candidates by feature, then raster, with the features' bounds and the rasters' edges.

    The pixels of a rotated raster stand in for its CRS: there its edges are upright, at whole numbers.
    """
    feature = _rows_of(candidates["feature_key"], features["feature_key"], "selected features")
    raster = _rows_of(candidates["raster_id"], scenes["raster_id"], "rasters")
    order = np.lexsort((raster, feature))
    feature, raster = feature[order], raster[order]
    a, b, c, d, e, f = _floats(scenes, list("abcdef"))
    if (flat := a * e == b * d).any():
        ids = scenes["raster_id"].filter(pa.array(flat)).to_pylist()
        raise UsageError(f"the transform of raster {quote_names(ids)} has no inverse: correct it and add it again")
    rotated = (b != 0) | (d != 0)
    origins, steps = np.where(rotated, 0.0, (c, f)), np.where(rotated, 1.0, (a, e))
    upright = _floats(candidates, ["xmin", "ymin", "xmax", "ymax"])
    in_pixels = _floats(candidates, ["pmin_col", "pmin_row", "pmax_col", "pmax_row"])
    bounds = np.where(rotated[raster], in_pixels[:, order], upright[:, order])
    if (missing := ~np.isfinite(bounds).all(axis=0)).any():
        ids = features["feature_id"].take(pa.array(np.unique(feature[missing]))).to_pylist()
        raise UsageError(f"feature {quote_names(ids)} has no finite bounds in a raster: correct or remove it")
    widths, heights = (scenes[name].to_numpy()[raster] for name in ("width", "height"))
    (left, top), (across, down), (xmin, ymin, xmax, ymax) = origins[:, raster], steps[:, raster], bounds
    return Pairs(
        feature,
        raster,
        columns=Axis.turned(xmin, xmax, left, across, widths),
        rows=Axis.turned(ymin, ymax, top, down, heights),
    )


def _rows_of(wanted: pa.ChunkedArray, ids: pa.ChunkedArray, table: str) -> Ints:
    """The row of each wanted id."""
    found = pc.index_in(wanted, value_set=ids)
    if found.null_count:
        missing = [str(value) for value in wanted.filter(found.is_null()).unique().to_pylist()]
        raise NotFoundError(f"candidates name {quote_names(missing)}, not among the {table}: pass their rows too")
    rows: Ints = found.to_numpy().astype(np.int64)
    return rows


def _floats(table: pa.Table, names: Sequence[str]) -> Floats:
    """Columns as rows of a float64 array; NaN where null or missing."""
    missing = np.full(len(table), np.nan)
    present = set(table.column_names)
    return np.stack([table[name].cast("float64").to_numpy() if name in present else missing for name in names])


@dataclass(frozen=True, slots=True)
class Places:
    """Where windows may lie along one axis: any position of `first..last`; `centred` is the best one.

    A feature that is longer than a chip takes `count` chips of `size` pixels in a row, of which the position is the
    first's. `crowded` rows are longer than their raster: its chips then overlap, and there is but one place.
    `obstacle` (a row number of `OBSTACLES`) is 0 where there is a position. All have the shape (pairs,).
    """

    first: Ints
    last: Ints
    centred: Ints
    size: Ints
    count: Ints
    crowded: Bools
    extent: Ints
    obstacle: Ints

    def at(self, pair: int, random: np.random.Generator | None) -> list[int]:
        """Where the windows begin: centred, or with `random` at a place drawn uniformly."""
        size, count = int(self.size[pair]), int(self.count[pair])
        if self.crowded[pair]:
            last = int(self.extent[pair]) - size
            return [last * number // (count - 1) for number in range(count)]
        first = int(self.centred[pair])
        if random is not None:
            first = int(random.integers(self.first[pair], self.last[pair], endpoint=True))
        return [first + size * number for number in range(count)]


def places(axis: Axis, size: Ints, mode: Mode, at_border: AtBorder) -> Places:
    """Where windows of `size` pixels, shape (pairs,), contain their features, and what becomes of those at the border.

    A feature that is larger than its window gets as few windows in a row as can contain it.
    """
    count = _chips_in_a_row(axis, size)
    span = size * count
    first, last = _reach(axis, span)
    wanted = np.clip(_centred(axis, span), first, last)
    obstacle = np.zeros(len(size), np.int64)
    crowded = np.zeros(len(size), np.bool_)
    if at_border == "pad":
        return Places(first, last, wanted, size, count, crowded, axis.extent, obstacle)
    crowded = (count > 1) & (span > axis.extent) & (size <= axis.extent)
    inside_first, inside_last = np.maximum(first, 0), np.minimum(last, axis.extent - span)
    centred = np.clip(wanted, inside_first, inside_last)
    if at_border == "skip" and mode != "random":
        obstacle = np.maximum(obstacle, np.where(crowded | (centred != wanted), CROSSES, 0))
    obstacle = np.maximum(obstacle, np.where((inside_first > inside_last) & ~crowded, NONE_INSIDE, 0))
    obstacle = np.maximum(obstacle, np.where(axis.extent < size, RASTER_SMALLER, 0))
    return Places(inside_first, inside_last, centred, size, count, crowded, axis.extent, obstacle)


def sizes_of_bounds(axis: Axis, scale: float, smallest: Ints, at_border: AtBorder) -> Ints:
    """Windows of `scale` times the features' bounds, in pixels, at least `smallest`; shape (pairs,).

    A window grows by the pixel that it takes to contain its feature between pixels. Unless it may be padded, it ends
    with its raster.
    """
    bounds = (axis.high - axis.low) / axis.step
    size: Ints = np.maximum(np.ceil(np.rint(bounds * scale * _STEPS) / _STEPS).astype(np.int64), smallest)
    while (short := np.greater(*_reach(axis, size))).any():
        size = size + short
    return size if at_border == "pad" else np.minimum(size, axis.extent)


def _chips_in_a_row(axis: Axis, size: Ints) -> Ints:
    """The fewest windows side by side that contain the feature; shape (pairs,)."""
    count = np.maximum(np.ceil((axis.high - axis.low) / axis.step / size).astype(np.int64) - 1, 1)
    while (short := np.greater(*_reach(axis, size * count))).any():
        count = count + short
    return count


def _reach(axis: Axis, size: Ints) -> tuple[Ints, Ints]:
    """The first and last position of windows that contain the feature; none where first > last.

    The quotients only say where to look: the edges decide, since rounding can move either by a pixel.
    """
    first = np.floor((axis.high - axis.origin) / axis.step - size).astype(np.int64) - 1
    last = np.ceil((axis.low - axis.origin) / axis.step).astype(np.int64) + 1
    while (short := _ends_short(axis, first, size)).any():
        first += short
    while (late := _begins_late(axis, last, size)).any():
        last -= late
    return first, last


def _ends_short(axis: Axis, position: Ints, size: Ints) -> Bools:
    """Whether windows end before their feature does, or where it begins."""
    _, end = axis.edges(position, size)
    return (end < axis.high) | (end <= axis.low)


def _begins_late(axis: Axis, position: Ints, size: Ints) -> Bools:
    """Whether windows begin after their feature does, or where it ends."""
    begin, _ = axis.edges(position, size)
    return (begin > axis.low) | (begin >= axis.high)


def _centred(axis: Axis, size: Ints) -> Ints:
    """The position at which a window's centre is nearest to the feature's, ties upwards."""
    centre = ((axis.low - axis.origin) / axis.step + (axis.high - axis.origin) / axis.step) / 2
    steps = np.rint(centre * _STEPS).astype(np.int64)
    return (2 * steps - _STEPS * size + _STEPS) // (2 * _STEPS)


class Tally:
    """How many chips of a raster contain its feature (`of_pair`), and of all rasters (`of_feature`)."""

    def __init__(self, pairs: Pairs, features: int) -> None:
        self.of_pair = np.zeros(len(pairs.feature), np.int64)
        self.of_feature = np.zeros(features, np.int64)
        self._pairs = pairs
        self._taken: set[tuple[int, Window]] = set()
        self._trees: dict[int, shapely.STRtree] = {}
        order = np.argsort(pairs.raster, kind="stable")
        rasters, starts = np.unique(pairs.raster[order], return_index=True)
        self._of_raster = dict(zip(rasters.tolist(), np.split(order, starts[1:]), strict=False))

    def seen(self, pair: int) -> bool:
        """Whether a chip of the pair's raster contains its feature."""
        return bool(self.of_pair[pair])

    def add(self, raster: int, window: Window) -> bool:
        """Count what a chip contains, unless there is one at that window already; whether there was none."""
        if (raster, window) in self._taken:
            return False
        self._taken.add((raster, window))
        contained = self.contained(raster, window)
        self.of_pair[contained] += 1
        self.of_feature[self._pairs.feature[contained]] += 1
        return True

    def taken(self, raster: int, window: Window) -> bool:
        """Whether there is a chip at that window already."""
        return (raster, window) in self._taken

    def count_in_parts(self, pair: int) -> None:
        """Count a feature that several chips hold together, none of them whole."""
        self.of_pair[pair] += 1
        self.of_feature[self._pairs.feature[pair]] += 1

    def contained(self, raster: int, window: Window) -> Ints:
        """The pairs whose feature the window contains: found near it by the tree, decided by bounds."""
        if raster not in self._of_raster:
            return np.empty(0, np.int64)
        here, columns, rows = self._of_raster[raster], self._pairs.columns, self._pairs.rows
        (left,), (right,) = columns.edges(window.col, window.width, here[:1])
        (low,), (high,) = rows.edges(window.row, window.height, here[:1])
        near: Ints = here[self._tree(raster).query(shapely.box(left, low, right, high))]
        contained: Ints = near[
            (columns.low[near] >= left) & (columns.high[near] <= right)
            & (columns.low[near] < right) & (columns.high[near] > left)
            & (rows.low[near] >= low) & (rows.high[near] <= high)
            & (rows.low[near] < high) & (rows.high[near] > low)
        ]  # fmt: skip
        return contained

    def _tree(self, raster: int) -> shapely.STRtree:
        """The index of the features' bounds in a raster, made when first asked for."""
        if raster not in self._trees:
            here, columns, rows = self._of_raster[raster], self._pairs.columns, self._pairs.rows
            boxes = shapely.box(columns.low[here], rows.low[here], columns.high[here], rows.high[here])
            self._trees[raster] = shapely.STRtree(boxes)
        return self._trees[raster]
