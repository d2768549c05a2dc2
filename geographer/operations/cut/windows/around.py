"""Which windows around features become chips."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import get_args

import numpy as np
import pyarrow as pa

from geographer.algorithms.rng import make_rng
from geographer.base.errors import UsageError, quote_names
from geographer.base.values import Window
from geographer.operations.cut.windows.chip_names import chip_name
from geographer.operations.cut.windows.plan_tables import Fits, check_sizes, chips_table, unmet_table
from geographer.operations.cut.windows.positions import (
    NODATA,
    AtBorder,
    Axis,
    Ints,
    Mode,
    Pairs,
    Places,
    Tally,
    pairs_of,
    places,
    sizes_of_bounds,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """How chips lie around features.

    Attributes:
        mode: `centered`, at a `random` place, or of a `variable` size: `scale` times the feature's bounds.
        scale: For `variable` chips; their least size is the raster's `chip_width` and `chip_height`.
        seed: The recipe's; of random places, and of random rasters.
        target_count: In how many chips each feature should lie.
        at_border: What happens to a window that reaches over the raster's edge: `shift` moves it inside, `pad` leaves
            it (`col` and `row` may be negative), `skip` drops it. `random` windows are drawn inside by both `shift`
            and `skip`.
        shuffled: Each feature takes the rasters in an order of its own, drawn from the seed.
    """

    mode: Mode = "centered"
    scale: float = 1.0
    seed: int = 0
    target_count: int = 1
    at_border: AtBorder = "shift"
    shuffled: bool = False


@dataclass(frozen=True, slots=True)
class AroundPlan:
    """The chips around features, and the features that stay short of chips.

    `chips`: a table of `windows.CHIPS`, in the order in which they were decided. `unmet`: of `windows.UNMET`, in the
    order of the features' turns.
    """

    chips: pa.Table
    unmet: pa.Table


def plan_around(
    candidates: pa.Table, rasters: pa.Table, selected: pa.Table, wanted: Around, fits: Fits | None = None
) -> AroundPlan:
    """The chips it takes for each feature to lie in `target_count` chips, or as many as can be.

    Features take their turn in order. One that `target_count` chips contain already gets none, so clusters are not
    over-represented. Another gets at most one chip a raster, in the order of the rasters' turns, first from the
    rasters whose chips don't contain it yet. No window of a raster is used twice. The order of rows in the tables
    changes nothing, and a feature changes nothing for those with a smaller turn.

    A chip contains a feature when the feature's bounds lie in the chip's, edges included, and reach its interior: a
    point or straight line on the chip's edge is outside, as in OGC `contains`. (Bounds don't show a line that runs
    along two or more edges of a chip and nowhere else: it counts as contained here.) The chip's bounds are those that
    rasterio gives for the chip's own transform, to the last bit.

    A `centered` window has its centre as near to the centre of the feature's bounds as whole pixels allow, with ties
    to the greater column and row; the feature's centre is first rounded to 1/1024 pixel, so that noise in coordinates
    doesn't decide such ties. It is then moved as little as it takes to contain the feature. A `random` window is
    uniform among all that contain the feature (and lie inside the raster, unless padded), drawn from
    `generator(seed, feature_id, raster_id)`: first the column, then the row. A `variable` window is centred, and ends
    with its raster unless padded.

    A feature that is larger than a window is held by the smallest grid of windows that can, which then counts as one
    chip. The grid lies as one window of its size would; where the raster is too small for that, it spans the raster,
    and its windows share pixels.

    Args:
        candidates: one row for each pair of a selected feature and a raster that contains it: `feature_key`,
            `raster_id`, and the feature's bounds `xmin`, `ymin`, `xmax`, `ymax` (float64, x and y of the
            raster's CRS). For rasters with `b` or `d` non-zero `pmin_col`, `pmin_row`, `pmax_col`, `pmax_row`
            (float64, bounds in the raster's pixels, (0, 0) the outer corner of the first) count instead; for
            others they may be null, or the columns missing.
        rasters: `raster_id`, `turn` (int64, all different), `width`, `height`, `chip_width`, `chip_height` (pixels)
            and the transform `a`, `b`, `c`, `d`, `e`, `f` (as in `values.Transform`, to x and y of the raster's CRS;
            south-up and mirrored ones too).
        selected: all features that want chips: `feature_key`, `feature_id`, `turn` (int64, all different).
        wanted: how they lie.
        fits: whether a window will do, by its pixels; the feature then goes on to its next raster.

    Raises:
        UsageError: an option is out of range, a transform has no inverse, or a feature has no finite bounds.
        NotFoundError: a candidate's feature or raster isn't in the other tables.
    """
    _check(wanted)
    check_sizes(rasters)
    features, scenes = selected.sort_by("turn"), rasters.sort_by("turn")
    pairs = pairs_of(candidates, features, scenes)
    around = _Around(pairs, features["feature_id"].to_pylist(), scenes, wanted)
    chips = [
        (
            around.name(pair, part),
            around.raster_ids[pairs.raster[pair]],
            around.feature_ids[pairs.feature[pair]],
            window,
        )
        for pair, part, window in around.decided(fits)
    ]
    return AroundPlan(
        chips_table(chips),
        unmet_table(around.feature_ids, around.turns, around.tally.of_feature, around.obstacle, wanted.target_count),
    )


class _Around:
    """Who has had a turn, and what that decided."""

    def __init__(self, pairs: Pairs, feature_ids: list[str], scenes: pa.Table, wanted: Around) -> None:
        self.feature_ids, self.raster_ids = feature_ids, scenes["raster_id"].to_pylist()
        self._pairs, self._wanted = pairs, wanted
        self._across = _places(pairs.columns, scenes["chip_width"].to_numpy()[pairs.raster], wanted)
        self._down = _places(pairs.rows, scenes["chip_height"].to_numpy()[pairs.raster], wanted)
        self.obstacle: Ints = np.maximum(self._across.obstacle, self._down.obstacle)
        self.tally = Tally(pairs, len(feature_ids))
        self.turns: list[int] = np.searchsorted(pairs.feature, np.arange(len(feature_ids) + 1)).tolist()

    def decided(self, fits: Fits | None) -> Iterator[tuple[int, tuple[int, int] | None, Window]]:
        """Each chip as it is decided: for which pair, which part of a grid (or None), and its window."""
        for feature, (start, stop) in enumerate(pairwise(self.turns)):
            for pair in self._in_order(start, stop):
                if self.tally.of_feature[feature] >= self._wanted.target_count:
                    break
                if not self.obstacle[pair]:
                    yield from self._chips(pair, fits)

    def name(self, pair: int, part: tuple[int, int] | None) -> str:
        """The file stem of a chip."""
        return chip_name(self.raster_ids[self._pairs.raster[pair]], self.feature_ids[self._pairs.feature[pair]], part)

    def _in_order(self, start: int, stop: int) -> list[int]:
        """The pairs of one feature: those first that no chip of their raster shows yet."""
        pairs = range(start, stop)
        if self._wanted.shuffled:
            return sorted(pairs, key=lambda pair: (self.tally.seen(pair), self._lot(pair)))
        return sorted(pairs, key=self.tally.seen)

    def _lot(self, pair: int) -> bytes:
        raster, feature = self.raster_ids[self._pairs.raster[pair]], self.feature_ids[self._pairs.feature[pair]]
        return hashlib.sha256(json.dumps([self._wanted.seed, "order", feature, raster]).encode()).digest()

    def _chips(self, pair: int, fits: Fits | None) -> Iterator[tuple[int, tuple[int, int] | None, Window]]:
        raster = int(self._pairs.raster[pair])
        windows = self._windows(pair)
        new = {part: window for part, window in windows.items() if not self.tally.taken(raster, window)}
        if fits and not all(fits(self.raster_ids[raster], window) for window in new.values()):
            self.obstacle[pair] = NODATA
            return
        for window in new.values():
            self.tally.add(raster, window)
        if len(windows) > 1:
            self.tally.count_in_parts(pair)
        for part, window in new.items():
            yield pair, part if len(windows) > 1 else None, window

    def _windows(self, pair: int) -> dict[tuple[int, int], Window]:
        """The windows of a pair by their column and row in its grid; mostly one."""
        random = None
        if self._wanted.mode == "random":
            feature, raster = self._pairs.feature[pair], self._pairs.raster[pair]
            random = make_rng(self._wanted.seed, self.feature_ids[feature], self.raster_ids[raster])
        cols, rows = self._across.at(pair, random), self._down.at(pair, random)
        size = int(self._across.size[pair]), int(self._down.size[pair])
        return {
            (column, row): Window(cols[column], rows[row], *size)
            for row, column in product(range(len(rows)), range(len(cols)))
        }


def _places(axis: Axis, smallest: Ints, wanted: Around) -> Places:
    size = smallest
    if wanted.mode == "variable":
        size = sizes_of_bounds(axis, wanted.scale, smallest, wanted.at_border)
    return places(axis, size, wanted.mode, wanted.at_border)


def _check(wanted: Around) -> None:
    if wanted.target_count < 1:
        raise UsageError(f"target count {wanted.target_count} asks for no chip: pass 1 or more")
    if not wanted.scale > 0:
        raise UsageError(f"a scale of {wanted.scale:g} leaves nothing of a feature's bounds: pass more than 0")
    for value, choices in ((wanted.mode, get_args(Mode)), (wanted.at_border, get_args(AtBorder))):
        if value not in choices:
            raise UsageError(f"'{value}' is not among {quote_names(list(choices))}: pass one of them")
