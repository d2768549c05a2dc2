"""Window positions: where, along one raster axis, windows contain a feature."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geographer.algorithms.connected_components import Bools, Ints
from geographer.operations.cut.windows.chips import Obstacle
from geographer.operations.cut.windows.feature_raster_pairs import PairAxis

if TYPE_CHECKING:
    from geographer.operations.cut.around import BorderPolicy, PlacementMode

SUBPIXEL_STEPS = 1024
"""Coordinates are rounded to this fraction of a pixel, so that floating-point noise does not decide ties."""


@dataclass(frozen=True, slots=True)
class WindowPositions:
    """Valid window starts along one axis: any position from `first` to `last`; `centred` is the best one.

    A feature that is longer than a chip takes `count` adjacent chips of `size` pixels, at the position of the first.
    Where `exceeds_raster`, this row of chips is longer than the raster: they overlap, in the only possible arrangement.
    `obstacle` (an `Obstacle`) is 0 where a position is valid. All have the shape (pairs,).
    """

    first: Ints
    last: Ints
    centred: Ints
    size: Ints
    count: Ints
    exceeds_raster: Bools
    extent: Ints
    obstacle: Ints

    def choose_starts(self, pair: int, rng: np.random.Generator | None) -> list[int]:
        """Return the first pixel of each window of a pair: centred, or drawn uniformly if there is an `rng`."""
        size, count = int(self.size[pair]), int(self.count[pair])
        if self.exceeds_raster[pair]:
            last = int(self.extent[pair]) - size
            return [last * index // (count - 1) for index in range(count)]
        first = int(self.centred[pair])
        if rng is not None:
            first = int(rng.integers(self.first[pair], self.last[pair], endpoint=True))
        return [first + size * index for index in range(count)]


def compute_positions(
    axis: PairAxis, mode: "PlacementMode", at_border: "BorderPolicy", scale: float = 1.0
) -> WindowPositions:
    """Compute where windows contain their features.

    Windows have the axis's `chip_size`; `variable` ones have `scale` times the features' bounds, at least `chip_size`.
    A feature that is longer than its window gets the fewest adjacent windows that contain it.
    """
    size = _compute_variable_sizes(axis, scale, at_border) if mode == "variable" else axis.chip_size
    count = _count_chips_needed(axis, size)
    span = size * count
    first, last = _compute_containing_range(axis, span)
    preferred = centred = np.clip(_compute_centred_start(axis, span), first, last)
    exceeds_raster, obstacle = np.zeros(len(size), np.bool_), np.zeros(len(size), np.int64)
    if at_border != "pad":
        exceeds_raster = (count > 1) & (span > axis.extent) & (size <= axis.extent)
        first, last = np.maximum(first, 0), np.minimum(last, axis.extent - span)
        centred = np.clip(preferred, first, last)
        must_not_move = at_border == "skip" and mode != "random"
        obstacles = {
            Obstacle.RASTER_TOO_SMALL: axis.extent < size,
            Obstacle.NO_WINDOW_INSIDE: (first > last) & ~exceeds_raster,
            Obstacle.CROSSES_EDGE: must_not_move & (exceeds_raster | (centred != preferred)),
        }
        obstacle = np.select(list(obstacles.values()), list(obstacles))
    return WindowPositions(first, last, centred, size, count, exceeds_raster, axis.extent, obstacle)


def _compute_variable_sizes(axis: PairAxis, scale: float, at_border: "BorderPolicy") -> Ints:
    """Return sizes in pixels, shape (pairs,), with a pixel more where needed; unless padded, as large as the raster."""
    bounds = (axis.high - axis.low) / axis.step
    scaled = np.ceil(np.rint(bounds * scale * SUBPIXEL_STEPS) / SUBPIXEL_STEPS).astype(np.int64)
    size: Ints = np.maximum(scaled, axis.chip_size)
    while (is_too_short := np.greater(*_compute_containing_range(axis, size))).any():
        size = size + is_too_short
    return size if at_border == "pad" else np.minimum(size, axis.extent)


def _count_chips_needed(axis: PairAxis, size: Ints) -> Ints:
    """Return the fewest adjacent windows that contain the feature; shape (pairs,)."""
    count = np.maximum(np.ceil((axis.high - axis.low) / axis.step / size).astype(np.int64) - 1, 1)
    while (is_too_short := np.greater(*_compute_containing_range(axis, size * count))).any():
        count = count + is_too_short
    return count


def _compute_containing_range(axis: PairAxis, size: Ints) -> tuple[Ints, Ints]:
    """Return the first and last start of windows that contain the feature; no such window where first > last.

    The quotients are only initial guesses. The edges decide, because rounding can move a quotient by a pixel.
    """
    first = np.floor((axis.high - axis.origin) / axis.step - size).astype(np.int64) - 1
    last = np.ceil((axis.low - axis.origin) / axis.step).astype(np.int64) + 1
    while True:  # until no window ends before its feature does, or where it begins
        _, end = axis.compute_edges(first, size)
        if not (ends_early := (end < axis.high) | (end <= axis.low)).any():
            break
        first += ends_early
    while True:  # until no window begins after its feature does, or where it ends
        begin, _ = axis.compute_edges(last, size)
        if not (starts_late := (begin > axis.low) | (begin >= axis.high)).any():
            break
        last -= starts_late
    return first, last


def _compute_centred_start(axis: PairAxis, size: Ints) -> Ints:
    """Return the start at which the window's centre is nearest to the feature's; ties go to the greater position."""
    centre = ((axis.low - axis.origin) / axis.step + (axis.high - axis.origin) / axis.step) / 2
    steps = np.rint(centre * SUBPIXEL_STEPS).astype(np.int64)
    return (2 * steps - SUBPIXEL_STEPS * size + SUBPIXEL_STEPS) // (2 * SUBPIXEL_STEPS)
