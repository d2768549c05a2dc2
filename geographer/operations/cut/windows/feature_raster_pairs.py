"""Pairs of a feature and a raster that contains it: their bounds and pixel edges, and the chips that contain them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from geographer.algorithms.connected_components import Floats, Ints, group_indices
from geographer.base.errors import NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.values import Window
from geographer.operations.cut.windows.chips import RasterWindow


@dataclass(frozen=True, slots=True)
class PairAxis:
    """Feature bounds and pixel edges of pairs along one raster axis, oriented so that coordinates grow with pixels.

    `low` and `high` bound the feature. Pixel n of the raster begins at `origin + step * n`. These are in the unit of
    the raster's CRS, and `step` > 0. `extent` and `chip_size` are in pixels. All arrays have the shape (pairs,).
    """

    low: Floats
    high: Floats
    origin: Floats
    step: Floats
    extent: Ints
    chip_size: Ints

    def compute_edges(
        self, start: Ints | int, size: Ints | int, pairs: Ints | slice = slice(None)
    ) -> tuple[Floats, Floats]:
        """Return the first and last edge of windows, rounded as by `Transform.for_window` and rasterio's `bounds`."""
        step = self.step[pairs]
        begin = self.origin[pairs] + step * start
        return begin, begin + step * size


@dataclass(frozen=True, slots=True)
class FeatureRasterPairs:
    """Pairs of a feature and a raster that contains it, sorted by feature, then raster.

    `feature` and `raster`, shape (pairs,), are indices into `feature_ids` and `raster_ids`, which are by rank.
    """

    feature_ids: list[str]
    raster_ids: list[str]
    feature: Ints
    raster: Ints
    columns: PairAxis
    rows: PairAxis

    def split_by_raster(self, pairs: Ints) -> dict[int, Ints]:
        """Group pairs, given by their indices, by raster; rasters ascend, and pairs keep their order."""
        return {raster: pairs[rows] for raster, rows in group_indices(self.raster[pairs]).items()}


def make_pairs(candidates: pa.Table, rasters: pa.Table, features: pa.Table) -> FeatureRasterPairs:
    """Sort candidates by feature and raster, and add the rasters' pixel edges; tables as for `around.plan_around`.

    For rotated rasters, pixel coordinates replace the CRS: in them the raster's edges are axis-aligned integers. Errors
    are those of `plan_around`.
    """
    features, rasters = features.sort_by("rank"), rasters.sort_by("rank")
    feature = _find_rows(candidates["feature_key"], features["feature_key"], "selected features")
    raster = _find_rows(candidates["raster_id"], rasters["raster_id"], "rasters")
    order = np.lexsort((raster, feature))
    feature, raster = feature[order], raster[order]
    a, b, c, d, e, f = _stack_columns(rasters, list("abcdef"))
    if (is_singular := a * e == b * d).any():
        ids = rasters["raster_id"].filter(pa.array(is_singular)).to_pylist()
        objects = quote_objects("raster", ids, "has|have")
        raise UsageError(f"{objects} a transform without inverse. Correct it and add it again.")
    is_rotated = (b != 0) | (d != 0)
    in_crs = _stack_columns(candidates, ["xmin", "ymin", "xmax", "ymax"])
    in_pixels = _stack_columns(candidates, ["pmin_col", "pmin_row", "pmax_col", "pmax_row"])
    bounds = np.where(is_rotated[raster], in_pixels[:, order], in_crs[:, order])
    if (is_missing := ~np.isfinite(bounds).all(axis=0)).any():
        ids = features["feature_id"].take(pa.array(np.unique(feature[is_missing]))).to_pylist()
        objects = quote_objects("feature", ids, "has|have")
        raise UsageError(f"{objects} no finite bounds in a raster. Correct or remove it.")
    origin, step = np.where(is_rotated, 0.0, (c, f))[:, raster], np.where(is_rotated, 1.0, (a, e))[:, raster]
    # Where the step is negative, all coordinates are negated, which is exact: no edge moves.
    low, high = np.where(step < 0, (-bounds[2:], -bounds[:2]), (bounds[:2], bounds[2:]))
    sign = np.where(step < 0, -1.0, 1.0)
    sizes = ("width", "height", "chip_width", "chip_height")
    width, height, *chip_size = (rasters[name].to_numpy()[raster] for name in sizes)
    axes = zip(low, high, origin * sign, step * sign, (width, height), chip_size, strict=True)
    ids_by_rank = features["feature_id"].to_pylist(), rasters["raster_id"].to_pylist()
    return FeatureRasterPairs(*ids_by_rank, feature, raster, *(PairAxis(*arrays) for arrays in axes))


def _find_rows(values: pa.ChunkedArray, ids: pa.ChunkedArray, table: str) -> Ints:
    """Return the row number of each value in `ids`."""
    index = pc.index_in(values, value_set=ids)
    if index.null_count:
        missing = [str(value) for value in values.filter(index.is_null()).unique().to_pylist()]
        raise NotFoundError(f"candidates name {quote_names(missing)}, missing from the {table}. Pass their rows too.")
    rows: Ints = index.to_numpy().astype(np.int64)
    return rows


def _stack_columns(table: pa.Table, names: Sequence[str]) -> Floats:
    """Return columns as float64, shape (columns, rows); NaN where a value is null or the column is missing."""
    missing, present = np.full(len(table), np.nan), set(table.column_names)
    return np.stack([table[name].cast("float64").to_numpy() if name in present else missing for name in names])


class CoverageCounter:
    """Counts the chips (their `windows`) that contain each feature, per raster (`chips_per_pair`) and overall."""

    def __init__(self, pairs: FeatureRasterPairs) -> None:
        self.chips_per_pair = np.zeros(len(pairs.feature), np.int64)
        self.chips_per_feature = np.zeros(len(pairs.feature_ids), np.int64)
        self.windows: set[RasterWindow] = set()
        self._pairs = pairs
        self._pairs_by_raster = pairs.split_by_raster(np.arange(len(pairs.feature)))
        self._trees: dict[int, shapely.STRtree] = {}

    def add_window(self, raster: int, window: Window) -> None:
        """Count the features in a chip, unless its window was added already."""
        if (raster, window) not in self.windows:
            self.windows.add((raster, window))
            self.count_pairs(self.find_contained(raster, window))

    def count_pairs(self, pairs: Ints | int) -> None:
        """Count one chip for the feature of each pair."""
        self.chips_per_pair[pairs] += 1
        self.chips_per_feature[self._pairs.feature[pairs]] += 1

    def find_contained(self, raster: int, window: Window) -> Ints:
        """Return the pairs whose feature the window contains. A spatial index proposes them; exact bounds decide."""
        if raster not in self._pairs_by_raster:
            return np.empty(0, np.int64)
        in_raster, columns, rows = self._pairs_by_raster[raster], self._pairs.columns, self._pairs.rows
        if raster not in self._trees:
            sides = (side[in_raster] for side in (columns.low, rows.low, columns.high, rows.high))
            self._trees[raster] = shapely.STRtree(shapely.box(*sides))
        (left,), (right,) = columns.compute_edges(window.col, window.width, in_raster[:1])
        (low,), (high,) = rows.compute_edges(window.row, window.height, in_raster[:1])
        near: Ints = in_raster[self._trees[raster].query(shapely.box(left, low, right, high))]
        contained: Ints = near[
            (columns.low[near] >= left) & (columns.high[near] <= right)
            & (columns.low[near] < right) & (columns.high[near] > left)
            & (rows.low[near] >= low) & (rows.high[near] <= high)
            & (rows.low[near] < high) & (rows.high[near] > low)
        ]  # fmt: skip
        return contained
