"""Plan windows around features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import pairwise, product
from typing import TYPE_CHECKING, get_args

import numpy as np
import pyarrow as pa

from geographer.algorithms.rng import make_rng
from geographer.base.errors import UsageError, quote_names
from geographer.base.values import Window
from geographer.operations.cut.windows.chip_names import make_feature_chip_name
from geographer.operations.cut.windows.feature_raster_pairs import (
    CoverageCounter,
    FeatureRasterPairs,
    IntArray,
    make_pairs,
)
from geographer.operations.cut.windows.plan_tables import (
    TOO_MUCH_NODATA,
    PlannedChips,
    WindowPredicate,
    make_chips_table,
    make_unmet_table,
)
from geographer.operations.cut.windows.positions import BorderPolicy, PlacementMode, compute_positions

if TYPE_CHECKING:
    from geographer.operations.cut.around import CutAround

_PlannedChip = tuple[str, str, str, Window]
"""Name, raster id, feature id, window."""


def plan_around(
    candidates: pa.Table,
    rasters: pa.Table,
    features: pa.Table,
    recipe: CutAround,
    accepts_window: WindowPredicate | None = None,
) -> PlannedChips:
    """Plan chips until each feature is in `target_count` chips, or as many as possible.

    Features are processed by rank. A feature that `target_count` chips contain already gets no new chip, so clusters
    are not over-represented. Any other feature gets at most one chip a raster, by the rasters' ranks, first from
    rasters without a chip that contains it. No window of a raster is used twice. The order of rows in the tables does
    not matter, and a feature does not affect features with a smaller rank.

    A chip contains a feature if the feature's bounds lie in the chip's, edges included, and reach its interior: a point
    or straight line on the chip's edge is outside, as in OGC `contains`. (Bounds cannot show a line that runs along two
    or more edges of a chip and nowhere else; it counts as contained.) The chip's bounds are, to the last bit, those
    that rasterio computes from the chip's own transform.

    A `centered` window has its centre as near to the centre of the feature's bounds as whole pixels allow, with ties to
    the greater column and row. The feature's centre is first rounded to 1/1024 pixel, so that noise in coordinates does
    not decide ties. The window then moves by the minimum needed to contain the feature. A `random` window is uniform
    among all that contain the feature (and lie inside the raster, unless padded), drawn from
    `make_rng(seed, feature_id, raster_id)`: first the column, then the row. A `variable` window is centred, and ends
    with its raster unless padded.

    A feature that is larger than a window gets the smallest grid of windows that contains it, which counts as one chip.
    The grid is placed like one window of its size. Where the raster is too small for that, the grid spans the raster
    and its windows overlap.

    Args:
        candidates: One row for each pair of a feature and a raster that contains it: `feature_key`, `raster_id`, and
            the feature's bounds `xmin`, `ymin`, `xmax`, `ymax` (float64, x and y of the raster's CRS). For rasters with
            non-zero `b` or `d`, `pmin_col`, `pmin_row`, `pmax_col`, `pmax_row` are used instead (float64, bounds in the
            raster's pixels; (0, 0) is the outer corner of the first pixel). For others they may be null or missing.
        rasters: `raster_id`, `rank` (int64, unique), `width`, `height`, `chip_width`, `chip_height` (pixels) and the
            transform `a`, `b`, `c`, `d`, `e`, `f` (as in `values.Transform`, to x and y of the raster's CRS; south-up
            and mirrored ones too).
        features: All features that need chips: `feature_key`, `feature_id`, `rank` (int64, unique).
        recipe: How chips are placed; its size does not matter.
        accepts_window: Reject windows for which this is false; the feature's next raster is tried then.

    Raises:
        UsageError: An option is out of range, a transform has no inverse, or a feature has no finite bounds.
        NotFoundError: A candidate's feature or raster is not in the other tables.
    """
    _validate_options(recipe)
    pairs = make_pairs(candidates, rasters, features)
    planner = _AroundPlanner(pairs, recipe, accepts_window)
    chips = make_chips_table(list(planner.iter_chips()))
    counts = planner.coverage.chips_per_feature
    unmet = make_unmet_table(pairs.feature_ids, pairs.feature, planner.obstacle, counts, recipe.target_count)
    return PlannedChips(chips, unmet)


class _AroundPlanner:
    """Decide the chips of each feature in turn, given those of the features before."""

    def __init__(self, pairs: FeatureRasterPairs, recipe: CutAround, accepts_window: WindowPredicate | None) -> None:
        self._pairs, self._recipe, self._accepts_window = pairs, recipe, accepts_window
        self._columns, self._rows = (
            compute_positions(axis, recipe.mode, recipe.at_border, recipe.scale) for axis in (pairs.columns, pairs.rows)
        )
        self.obstacle: IntArray = np.maximum(self._columns.obstacle, self._rows.obstacle)
        self.coverage = CoverageCounter(pairs)

    def iter_chips(self) -> Iterator[_PlannedChip]:
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
        if self._recipe.is_order_random:
            raster_id, feature_id = self._get_ids(pair)
            random_rank = hashlib.sha256(
                json.dumps([self._recipe.seed, "order", feature_id, raster_id]).encode()
            ).digest()
        return bool(self.coverage.chips_per_pair[pair]), random_rank

    def _iter_pair_chips(self, pair: int) -> Iterator[_PlannedChip]:
        raster, (raster_id, feature_id) = int(self._pairs.raster[pair]), self._get_ids(pair)
        windows = self._place_windows(pair)
        is_grid = len(windows) > 1
        new = {cell: window for cell, window in windows.items() if (raster, window) not in self.coverage.windows}
        if self._accepts_window and not all(self._accepts_window(raster_id, window) for window in new.values()):
            self.obstacle[pair] = TOO_MUCH_NODATA
            return
        for window in new.values():
            self.coverage.add_window(raster, window)
        if is_grid:  # no window of it contains the feature, but together they do
            self.coverage.count_pairs(pair)
        for cell, window in new.items():
            name = make_feature_chip_name(raster_id, feature_id, cell if is_grid else None)
            yield name, raster_id, feature_id, window

    def _place_windows(self, pair: int) -> dict[tuple[int, int], Window]:
        """Return the windows of a pair by their column and row in its grid; mostly one."""
        raster_id, feature_id = self._get_ids(pair)
        rng = make_rng(self._recipe.seed, feature_id, raster_id) if self._recipe.mode == "random" else None
        cols, rows = self._columns.choose_starts(pair, rng), self._rows.choose_starts(pair, rng)
        size = int(self._columns.size[pair]), int(self._rows.size[pair])
        return {
            (column, row): Window(cols[column], rows[row], *size)
            for row, column in product(range(len(rows)), range(len(cols)))
        }


def _validate_options(recipe: CutAround) -> None:
    if recipe.target_count < 1:
        raise UsageError(f"invalid target count {recipe.target_count}. Use 1 or more.")
    if not recipe.scale > 0:
        raise UsageError(f"invalid scale {recipe.scale:g}. Use a number greater than 0.")
    for name, choices in (("mode", get_args(PlacementMode)), ("at_border", get_args(BorderPolicy))):
        if (value := getattr(recipe, name)) not in choices:
            raise UsageError(f"invalid {name} '{value}'. Use one of {quote_names(list(choices))}.")
