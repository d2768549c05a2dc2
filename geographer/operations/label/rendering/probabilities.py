"""Render probability labels: for each class, the probability that a pixel belongs to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geographer.base.values import LineWidth, Window
from geographer.operations.label.rendering.pixel_geometries import PixelGeometries, rasterize_mask, to_pixel_geometries
from geographer.operations.label.rendering.rasterize import find_subpixel_objects
from geographer.operations.label.rendering.render import LabelResult, LabelTask, write_label

_SCALE = 1 << 40
"""Probabilities are summed as integer multiples of 1 / _SCALE, so that sums do not depend on the order of objects."""


class _ObjectCover(NamedTuple):
    """The pixels that an object covers, in a window of the raster, and its probabilities as multiples of 1 / _SCALE."""

    window: tuple[slice, slice]
    covered: NDArray[np.bool_]
    probabilities: list[int]


@dataclass(frozen=True, slots=True)
class ProbabilityRenderer:
    """Renders one float32 band of probabilities for each class; background objects set all classes to 0.

    Attributes:
        classes: The names of the classes, in the order of the objects' probabilities.
        background: The name of a first band with 1 minus the sum of the others, clipped to [0, 1]; None: no such band.
        combine: How to combine objects that overlap: the 'mean' of those that cover a pixel, or the 'max' per band.
        width: The width of lines and points.
    """

    classes: tuple[str, ...]
    background: str | None = None
    combine: Literal["mean", "max"] = "mean"
    width: LineWidth | None = None

    def render_label(self, task: LabelTask) -> LabelResult:
        """Make one label; see `LabelRenderer.render_label`."""
        shapes = to_pixel_geometries(task.grid, task.objects, self.width)
        covers = [cover for index in shapes.find_foreground() if (cover := _rasterize_object(shapes, index))]
        erased = shapes.rasterize_objects(*shapes.find_background())
        count = np.zeros(shapes.size, np.int64)
        for cover in covers:
            count[cover.window] += cover.covered
        names = self.classes if self.background is None else (self.background, *self.classes)
        bands = np.zeros((len(names), *shapes.size), np.float32)
        total = np.zeros(shapes.size, np.float64)
        for index in range(-len(self.classes), 0):
            band = self._combine_objects(covers, index, count)
            band[erased] = 0
            total += band
            bands[index] = band
        if self.background is not None:
            bands[0] = np.clip(1 - total, 0, 1)
        return write_label(task, bands, names, notes=find_subpixel_objects(shapes))

    def _combine_objects(self, covers: list[_ObjectCover], index: int, count: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability of one class per pixel, shape (rows, columns); `count` is the objects per pixel."""
        combined = np.zeros(count.shape, np.int64)
        for cover in covers:
            window = combined[cover.window]
            if self.combine == "mean":
                window += cover.covered * cover.probabilities[index]
            else:
                np.maximum(window, cover.covered * cover.probabilities[index], out=window)
        divisor = np.maximum(count, 1) if self.combine == "mean" else 1
        return np.asarray(combined / (divisor * float(_SCALE)))


def _rasterize_object(shapes: PixelGeometries, index: int) -> _ObjectCover | None:
    """Rasterize one object in the window of its bounds; None if they lie outside the raster."""
    parts = shapes.list_parts(index)
    west, north, east, south = (math.floor(bound) for bound in shapely.total_bounds(parts))
    left, top = max(west, 0), max(north, 0)
    right, bottom = min(east + 1, shapes.size[1]), min(south + 1, shapes.size[0])
    if left >= right or top >= bottom:
        return None
    covered = rasterize_mask(parts, Window(left, top, right - left, bottom - top))
    probabilities = [round(p * _SCALE) for p in shapes.objects[index].probabilities or ()]
    return _ObjectCover((slice(top, bottom), slice(left, right)), covered, probabilities)
