"""Plan windows around features."""

import hashlib
import json
from collections.abc import Iterator
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geographer.algorithms.connected_components import Ints
from geographer.algorithms.rng import make_rng
from geographer.base.values import Window
from geographer.operations.cut.windows.chip_names import make_feature_chip_name
from geographer.operations.cut.windows.chips import Chip, Obstacle, PlannedChips, WindowFilter, list_unmet
from geographer.operations.cut.windows.feature_raster_pairs import CoverageCounter, FeatureRasterPairs, make_pairs
from geographer.operations.cut.windows.positions import compute_positions

if TYPE_CHECKING:
    from geographer.operations.cut.around import CutAround


def plan_around(
    candidates: pa.Table, rasters: pa.Table, features: pa.Table, recipe: "CutAround", accepts_window: WindowFilter
) -> PlannedChips:
    """Plan chips until each feature is in `target_count` chips, or as many as possible.

    Features are processed by rank; later features and the order of rows do not matter. A feature that `target_count`
    chips contain already gets no new chip, so clusters are not over-represented. Any other feature gets at most one
    chip a raster, by the rasters' ranks, first from rasters without a chip that contains it. No window is used twice.

    A chip contains a feature if the feature's bounds lie in the chip's, edges included, and reach its interior: a point
    or straight line on the chip's edge is outside, as in OGC `contains`. (A line along two or more edges of a chip
    counts as contained.) The chip's bounds are, to the last bit, those that rasterio computes from its transform.

    A `centered` window has its centre as near to the centre of the feature's bounds (rounded to 1/1024 pixel) as whole
    pixels allow, with ties to the greater column and row, and then moves as little as needed to contain the feature. A
    `random` window is uniform among all that contain the feature (and lie inside the raster, unless padded), drawn from
    `make_rng(seed, feature_id, raster_id)`: first the column, then the row. A `variable` window is centred, and ends
    with its raster unless padded.

    A feature that is larger than a window gets the smallest grid of windows that contains it, which counts as one chip
    and is placed like one. Where the raster is too small for that, the grid spans the raster and its windows overlap.

    `candidates` has one row for each pair of a feature and a raster that contains it: `feature_key`, `raster_id`, and
    the feature's bounds `xmin`, `ymin`, `xmax`, `ymax` (x and y of the raster's CRS), or for rasters with non-zero `b`
    or `d`, `pmin_col`, `pmin_row`, `pmax_col`, `pmax_row` (in pixels; (0, 0) is the outer corner of the first pixel).
    `rasters` has `raster_id`, `rank` (int64, unique), `width`, `height`, `chip_width`, `chip_height` (pixels) and the
    transform `a` to `f` (see `values.Transform`); `features` has all features that need chips: `feature_key`,
    `feature_id`, `rank` (int64, unique). Where `accepts_window` is false, the feature's next raster is tried.

    Raises:
        UsageError: A transform has no inverse, or a feature has no finite bounds.
        NotFoundError: A candidate's feature or raster is not in the other tables.
    """
    pairs = make_pairs(candidates, rasters, features)
    planner = _AroundPlanner(pairs, recipe, accepts_window)
    chips = list(planner.iter_chips())
    obstacles = zip(pairs.feature.tolist(), planner.obstacle.tolist(), strict=True)
    counts = planner.coverage.chips_per_feature.tolist()
    return PlannedChips(chips, list_unmet(pairs.feature_ids, obstacles, counts, recipe.target_count))


class _AroundPlanner:
    """Decide the chips of each feature in turn, given those of the features before."""

    def __init__(self, pairs: FeatureRasterPairs, recipe: "CutAround", accepts_window: WindowFilter) -> None:
        self._pairs, self._recipe, self._accepts_window = pairs, recipe, accepts_window
        options = recipe.mode, recipe.at_border, recipe.scale
        self._columns, self._rows = (compute_positions(axis, *options) for axis in (pairs.columns, pairs.rows))
        self.obstacle: Ints = np.maximum(self._columns.obstacle, self._rows.obstacle)
        self.coverage = CoverageCounter(pairs)

    def iter_chips(self) -> Iterator[Chip]:
        bounds = np.searchsorted(self._pairs.feature, np.arange(len(self._pairs.feature_ids) + 1)).tolist()
        for feature, (start, stop) in enumerate(pairwise(bounds)):
            for pair in sorted(range(start, stop), key=self._rank_pair):
                if self.coverage.chips_per_feature[feature] >= self._recipe.target_count:
                    break
                if not self.obstacle[pair]:
                    yield from self._iter_pair_chips(pair)

    def _get_ids(self, pair: int) -> tuple[str, str]:
        return self._pairs.raster_ids[self._pairs.raster[pair]], self._pairs.feature_ids[self._pairs.feature[pair]]

    def _rank_pair(self, pair: int) -> tuple[bool, bytes]:
        """Rank rasters without a chip that contains the feature before others, and both at random if required."""
        random_rank = b""
        if self._recipe.order_by == "random":
            raster_id, feature_id = self._get_ids(pair)
            key = json.dumps([self._recipe.seed, "order", feature_id, raster_id])
            random_rank = hashlib.sha256(key.encode()).digest()
        return bool(self.coverage.chips_per_pair[pair]), random_rank

    def _iter_pair_chips(self, pair: int) -> Iterator[Chip]:
        raster, (raster_id, feature_id) = int(self._pairs.raster[pair]), self._get_ids(pair)
        rng = make_rng(self._recipe.seed, feature_id, raster_id) if self._recipe.mode == "random" else None
        cols, rows = self._columns.choose_starts(pair, rng), self._rows.choose_starts(pair, rng)
        size = int(self._columns.size[pair]), int(self._rows.size[pair])
        is_grid = len(cols) * len(rows) > 1
        windows = {(i, j): Window(col, row, *size) for (j, row), (i, col) in product(enumerate(rows), enumerate(cols))}
        new = {cell: window for cell, window in windows.items() if (raster, window) not in self.coverage.windows}
        if not all(self._accepts_window(raster_id, window) for window in new.values()):
            self.obstacle[pair] = Obstacle.TOO_MUCH_NODATA
            return
        for window in new.values():
            self.coverage.add_window(raster, window)
        if is_grid:  # no window of it contains the feature, but together they do
            self.coverage.count_pairs(pair)
        for cell, window in new.items():
            name = make_feature_chip_name(raster_id, feature_id, cell if is_grid else None)
            yield Chip(name, raster_id, feature_id, window)
