"""Draws soft labels: for each class the probability that a pixel belongs to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geographer.base.values import Grid, LineWidth
from geographer.operations.label.rendering.pixel_geometries import Shapes, burned, shapes_on
from geographer.operations.label.rendering.rasterize import parts_of, small_ones
from geographer.operations.label.rendering.render import LabelMade, LabelOrder, write_label

_ONE = 1 << 40
"""Probabilities are added up as whole numbers of this part of one: so their order doesn't matter."""


class _Cover(NamedTuple):
    """The pixels that an object covers, in a window of the raster, and its probabilities in parts of `_ONE`."""

    rows: slice
    columns: slice
    covered: NDArray[np.bool_]
    parts: list[int]


@dataclass(frozen=True, slots=True)
class SoftDrawing:
    """One float32 band for each of `classes`, in order; objects have a probability for each of them.

    Attributes:
        classes: Names of the bands.
        background: The name of a first band that holds 1 minus the sum of the others, from 0 to 1; None: no such band.
        combine: Where objects overlap: the 'mean' of those that cover a pixel, or the 'max' in each band.
        width: Of lines and points.
    """

    classes: tuple[str, ...]
    background: str | None = None
    combine: Literal["mean", "max"] = "mean"
    width: LineWidth | None = None

    def make(self, order: LabelOrder) -> LabelMade:
        """See `Drawing.make`."""
        shapes = shapes_on(order.grid, order.shown, self.width)
        size = (order.grid.height, order.grid.width)
        covers = [cover for place in shapes.foreground() if (cover := _cover(shapes, place, order.grid))]
        erased = burned(parts_of(shapes, shapes.background()), size)
        count = np.zeros(size, np.int64)
        for cover in covers:
            count[cover.rows, cover.columns] += cover.covered
        first = self.background is not None
        bands = np.zeros((len(self.classes) + first, *size), np.float32)
        total = np.zeros(size, np.float64)
        for number in range(len(self.classes)):
            band = self._band(covers, number, count)
            band[erased] = 0
            total += band
            bands[number + first] = band
        if first:
            bands[0] = np.clip(1 - total, 0, 1)
        names = (*([self.background] if self.background is not None else []), *self.classes)
        return write_label(order, bands, names, told=small_ones(shapes, order.grid))

    def _band(self, covers: list[_Cover], number: int, count: NDArray[np.int64]) -> NDArray[np.float64]:
        """The probabilities of one class, shape (rows, columns)."""
        parts = np.zeros(count.shape, np.int64)
        for cover in covers:
            window = parts[cover.rows, cover.columns]
            if self.combine == "mean":
                window += cover.covered * cover.parts[number]
            else:
                np.maximum(window, cover.covered * cover.parts[number], out=window)
        many = np.maximum(count, 1) if self.combine == "mean" else 1
        return np.asarray(parts / (many * float(_ONE)))


def _cover(shapes: Shapes, place: int, grid: Grid) -> _Cover | None:
    """What an object covers of the raster; None where that is nothing."""
    parts = shapes.drawable(place)
    bounds = [part.bounds for part in parts]
    west, north = (max(math.floor(min(bound[axis] for bound in bounds)), 0) for axis in (0, 1))
    east = min(math.floor(max(bound[2] for bound in bounds)) + 1, grid.width)
    south = min(math.floor(max(bound[3] for bound in bounds)) + 1, grid.height)
    if west >= east or north >= south:
        return None
    covered = burned(parts, (south - north, east - west), origin=(west, north))
    probabilities = shapes.shown[place].probabilities or ()
    return _Cover(slice(north, south), slice(west, east), covered, [round(one * _ONE) for one in probabilities])
