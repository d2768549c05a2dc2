"""Render probability labels: for each class, the probability that a pixel belongs to it."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from geographer.base.values import Window
from geographer.operations.label.rendering.pixel_geometries import PixelGeometries, iter_pixel_geometries
from geographer.operations.label.rendering.render import DrawnLabel, write_labels
from geographer.operations.label.tasks import LabelResult, LabelTask
from geographer.planning.up_to_date_labels import LabelSettings
from geographer.rasters.burning import rasterize_mask

if TYPE_CHECKING:
    from geographer.operations.label.probabilities import LabelProbabilities

SCALE = 1 << 40
"""Probabilities are summed as integer multiples of 1 / SCALE, so that sums do not depend on the order of objects."""

_ObjectCover = tuple[tuple[slice, slice], NDArray[np.bool_], list[int]]
"""A window of the raster, the pixels there that an object covers, and its probabilities as multiples of 1 / SCALE."""


def render_probabilities(
    tasks: Sequence[LabelTask], recipe: "LabelProbabilities", settings: LabelSettings
) -> Iterator[LabelResult]:
    """Draw one float32 band of probabilities for each class; background objects set all classes to 0.

    Overlapping objects are combined per band: the 'mean' of those that cover a pixel, or the 'max'.
    """
    geometries = iter_pixel_geometries(tasks, recipe.line_width)
    return write_labels(map(partial(_draw_probabilities, recipe, settings), tasks, geometries))


def _draw_probabilities(
    recipe: "LabelProbabilities", settings: LabelSettings, task: LabelTask, shapes: PixelGeometries
) -> DrawnLabel:
    covers = [cover for index in shapes.foreground if (cover := _rasterize_object(shapes, index))]
    erased = shapes.rasterize_objects(shapes.background)
    divisor = np.zeros(shapes.raster_size, np.int64)
    for window, covered, _ in covers:
        divisor[window] += covered
    divisor = np.maximum(divisor, 1) if recipe.combine == "mean" else np.ones_like(divisor)
    merge = np.add if recipe.combine == "mean" else np.maximum
    names = tuple(settings.bands or ())
    bands = np.zeros((len(names), *shapes.raster_size), np.float32)
    total = np.zeros(shapes.raster_size, np.float64)
    for index in range(recipe.background_band - len(names), 0):
        combined = np.zeros(shapes.raster_size, np.int64)
        for window, covered, probabilities in covers:
            merge(combined[window], covered * probabilities[index], out=combined[window])
        band = np.where(erased, 0, combined / (divisor * float(SCALE)))
        total += band
        bands[index] = band
    if recipe.background_band:
        bands[0] = np.clip(1 - total, 0, 1)
    return DrawnLabel(task, bands, names, notes={"subpixel": shapes.find_subpixel_objects()})


def _rasterize_object(shapes: PixelGeometries, index: int) -> _ObjectCover | None:
    """Rasterize one object in the window of its bounds; None if they lie outside the raster."""
    parts = shapes.list_parts([index])
    west, north, east, south = (math.floor(bound) for bound in shapely.total_bounds(parts))
    left, top = max(west, 0), max(north, 0)
    right, bottom = min(east + 1, shapes.raster_size[1]), min(south + 1, shapes.raster_size[0])
    if left >= right or top >= bottom:
        return None
    covered = rasterize_mask(parts, Window(left, top, right - left, bottom - top))
    probabilities = [round(p * SCALE) for p in shapes.objects[index].probabilities or ()]
    return (slice(top, bottom), slice(left, right)), covered, probabilities
