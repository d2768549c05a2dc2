"""Geometries of the objects of a label in pixel coordinates: what is drawn, what is smaller than a pixel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, product

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geographer.base.values import LineWidth, Window
from geographer.operations.label.tasks import LabelTask, VisibleObject
from geographer.rasters.burning import burn_values, rasterize_mask
from geographer.rasters.pixel_geometries import DECIMALS, Geometries, buffer_lines_and_points, transform_to_pixels

_SEARCH_SIZE, _FIRST_SEARCH_RADIUS = 1024, 16
"""Size of the windows, in pixels, in which a thin area is searched for pixel centres; radius of the first window."""


@dataclass(frozen=True, slots=True)
class PixelGeometries:
    """Objects and their non-empty geometries in pixel coordinates, in the order in which the features were added.

    `drawn` are the geometries, but for areas that cover no pixel centre (whose indices are `small`) the centre of their
    representative pixel. `foreground` and `background` are the indices of objects that are not ignored. `size` is the
    numbers of rows and columns of the raster.
    """

    objects: Sequence[VisibleObject]
    geometries: Geometries
    drawn: Geometries
    small: Sequence[int]
    foreground: list[int]
    background: list[int]
    size: tuple[int, int]

    def list_parts(self, indices: Sequence[int]) -> list[BaseGeometry]:
        """Return the single-part geometries to draw of some objects."""
        parts = shapely.get_parts(self.drawn[list(indices)])
        return list(parts[~shapely.is_empty(parts)])

    def rasterize_objects(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Return the pixels that some objects cover, shape (rows, columns)."""
        return rasterize_mask(self.list_parts(indices), Window(0, 0, *self.size[::-1]))

    def burn_layers(
        self, layers: Sequence[tuple[int, int]], dtype: str, *, all_touched: bool = False
    ) -> NDArray[np.generic]:
        """Burn layers (index of an object, value) one over the other; return shape (rows, columns), 0 elsewhere."""
        parts = [(part, value) for index, value in layers for part in self.list_parts([index])]
        return burn_values(parts, Window(0, 0, *self.size[::-1]), dtype, all_touched=all_touched)

    def find_subpixel_objects(self) -> tuple[str, ...]:
        """Return the ids of objects, except background, that are drawn as their representative pixel only."""
        visible = shapely.intersects(self.drawn[list(self.small)], shapely.box(0, 0, *self.size[::-1])).tolist()
        items = [self.objects[index] for index, is_visible in zip(self.small, visible, strict=True) if is_visible]
        return tuple(item.feature_id for item in items if item.value != 0)


def to_pixel_geometries(
    task: LabelTask, width: LineWidth | None = None, *, represent_small: bool = True
) -> PixelGeometries:
    """Transform objects to the pixel grid, and buffer lines and points to `width`, unless it is None.

    Objects whose geometry is empty or not finite there are left out. `represent_small` finds a representative pixel for
    each area that covers no pixel centre. The test uses the whole object on an unbounded grid, so that a chip's label
    equals its window of the scene's label.
    """
    grid = task.grid
    geometries = transform_to_pixels([item.wkb for item in task.objects], grid)
    kept = np.flatnonzero(~shapely.is_empty(geometries)).tolist()
    objects, geometries = [task.objects[index] for index in kept], geometries[kept]
    if width is not None:
        geometries = buffer_lines_and_points(geometries, width, grid)
    drawn = geometries.copy()
    small, centres = _find_small_areas(geometries) if represent_small else ([], [])
    drawn[small] = centres
    drawable = [index for index, item in enumerate(objects) if not item.ignored]
    foreground = [index for index in drawable if objects[index].value != 0]
    background = [index for index in drawable if objects[index].value == 0]
    size = (grid.height, grid.width)
    return PixelGeometries(objects, geometries, drawn, small, foreground, background, size)


def _find_small_areas(geometries: Geometries) -> tuple[list[int], Geometries]:
    """Return the indices of the areas that cover no pixel centre, and the centres of their representative pixels."""
    areas = np.flatnonzero(shapely.get_dimensions(geometries) == 2)
    representative = shapely.point_on_surface(geometries[areas])
    points = np.column_stack([shapely.get_x(representative), shapely.get_y(representative)])
    missing = ~np.isfinite(points).all(axis=1)
    points[missing] = shapely.bounds(geometries[areas][missing])[:, :2]
    centres = np.floor(np.round(points, DECIMALS)) + 0.5
    uncovered = np.flatnonzero(~shapely.contains_xy(geometries[areas], *centres.T)).tolist()
    small = [index for index in uncovered if not _covers_pixel_centre(geometries[areas[index]], centres[index])]
    return areas[small].tolist(), shapely.points(centres[small])


def _covers_pixel_centre(area: BaseGeometry, centre: NDArray[np.float64]) -> bool:
    """Return whether an area covers a pixel centre of an unbounded grid; the search starts around `centre`."""
    xmin, ymin, xmax, ymax = area.bounds
    columns = range(math.ceil(xmin - 0.5), math.floor(xmax - 0.5) + 1)
    rows = range(math.ceil(ymin - 0.5), math.floor(ymax - 0.5) + 1)
    if not columns or not rows:
        return False
    first = Window(*(math.floor(side) - _FIRST_SEARCH_RADIUS for side in centre), *[2 * _FIRST_SEARCH_RADIUS] * 2)
    windows = (
        Window(column, row, min(_SEARCH_SIZE, columns.stop - column), min(_SEARCH_SIZE, rows.stop - row))
        for row, column in product(rows[::_SEARCH_SIZE], columns[::_SEARCH_SIZE])
    )
    parts = [part for part in shapely.get_parts(area) if not part.is_empty]
    return any(rasterize_mask(parts, window).any() for window in chain([first], windows))
