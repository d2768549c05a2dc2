"""Geometries of the objects of a label in pixel coordinates: what is drawn, what is smaller than a pixel."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geographer.base.values import Grid, LineWidth, Window
from geographer.operations.label.rendering.large_areas import MIN_BYTES, LargeAreas
from geographer.operations.label.tasks import LabelTask, VisibleObject
from geographer.rasters.burning import burn_values, rasterize_mask
from geographer.rasters.pixel_geometries import (
    DECIMALS,
    Geometries,
    buffer_lines_and_points,
    transform_each_to_pixels,
    transform_to_pixels,
)

_EMPTY: Final = shapely.to_wkb(shapely.Point())
_GROUP_BYTES: Final = 1 << 22
_SEARCH_SIZE, _FIRST_SEARCH_RADIUS = 1024, 16
"""Size of the windows, in pixels, in which a thin area is searched for pixel centres; radius of the first window."""


@dataclass(frozen=True, slots=True)
class PixelGeometries:
    """Objects and their non-empty geometries in pixel coordinates, in the order in which the features were added.

    `drawn` are the geometries, but for areas that cover no pixel centre (whose indices are `small`) the centre of their
    representative pixel. `foreground` and `background` are the indices of objects that are not ignored. `clipped` are
    the indices of areas that are reduced to what the raster with this `grid` shows, and the WKB of the whole ones.
    """

    objects: Sequence[VisibleObject]
    geometries: Geometries
    drawn: Geometries
    small: Sequence[int]
    foreground: list[int]
    background: list[int]
    grid: Grid
    clipped: Mapping[int, bytes]

    @property
    def raster_size(self) -> tuple[int, int]:
        """The numbers of rows and columns of the raster."""
        return self.grid.height, self.grid.width

    def compute_areas(self) -> NDArray[np.float64]:
        """Return the areas of the whole geometries, in pixels."""
        areas = np.asarray(shapely.area(self.geometries))
        for index, wkb in self.clipped.items():
            areas[index] = shapely.area(transform_to_pixels([wkb], self.grid))[0]
        return areas

    def list_parts(self, indices: Sequence[int]) -> list[BaseGeometry]:
        """Return the single-part geometries to draw of some objects."""
        parts = shapely.get_parts(self.drawn[list(indices)])
        return list(parts[~shapely.is_empty(parts)])

    def rasterize_objects(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Return the pixels that some objects cover, shape (rows, columns)."""
        return rasterize_mask(self.list_parts(indices), Window(0, 0, *self.raster_size[::-1]))

    def burn_layers(
        self, layers: Sequence[tuple[int, int]], dtype: str, *, all_touched: bool = False
    ) -> NDArray[np.generic]:
        """Burn layers (index of an object, value) one over the other; return shape (rows, columns), 0 elsewhere."""
        if not layers:
            return np.zeros(self.raster_size, dtype)
        indices, values = zip(*layers, strict=True)
        geometries, owners = shapely.get_parts(self.drawn[list(indices)], return_index=True)
        is_empty = shapely.is_empty(geometries)
        parts = [(part, values[owner]) for part, owner in zip(geometries[~is_empty], owners[~is_empty], strict=True)]
        return burn_values(parts, Window(0, 0, *self.raster_size[::-1]), dtype, all_touched=all_touched)

    def find_subpixel_objects(self) -> tuple[str, ...]:
        """Return the ids of objects, except background, that are drawn as their representative pixel only."""
        if not len(self.small):
            return ()
        visible = shapely.intersects(self.drawn[list(self.small)], shapely.box(0, 0, *self.raster_size[::-1])).tolist()
        items = [self.objects[index] for index, is_visible in zip(self.small, visible, strict=True) if is_visible]
        return tuple(item.feature_id for item in items if item.value != 0)


def to_pixel_geometries(
    task: LabelTask, width: LineWidth | None = None, *, represent_small: bool = True
) -> PixelGeometries:
    """Return the geometries of one task; see `iter_pixel_geometries`."""
    return next(iter_pixel_geometries([task], width, represent_small=represent_small))


def iter_pixel_geometries(
    tasks: Sequence[LabelTask], width: LineWidth | None = None, *, represent_small: bool = True, clip: bool = False
) -> Iterator[PixelGeometries]:
    """Transform the objects of each task to its pixel grid, and buffer lines and points to `width`, unless it is None.

    Objects whose geometry is empty or not finite there are left out. `represent_small` finds a representative pixel for
    each area that covers no pixel centre. The test uses the whole object on an unbounded grid, so that a chip's label
    equals its window of the scene's label. With `clip`, areas of many vertices are reduced to what each raster shows.
    """
    areas = LargeAreas() if clip else None
    for group in _group_tasks(tasks, areas):
        yield from _transform_tasks(group, areas, width, represent_small=represent_small)


def _group_tasks(tasks: Sequence[LabelTask], areas: LargeAreas | None) -> Iterator[list[LabelTask]]:
    """Yield successive tasks together, whose objects have up to `_GROUP_BYTES` of WKB that is not reduced."""
    group: list[LabelTask] = []
    size = 0
    for task in tasks:
        length = sum(len(item.wkb) for item in task.objects if areas is None or len(item.wkb) < MIN_BYTES)
        if group and size + length > _GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(task)
        size += length
    if group:
        yield group


def _transform_tasks(
    tasks: Sequence[LabelTask], areas: LargeAreas | None, width: LineWidth | None, *, represent_small: bool
) -> Iterator[PixelGeometries]:
    """Yield the geometries of each task; what does not depend on the task is computed for all at once."""
    counts = [len(task.objects) for task in tasks]
    reduced = [areas.reduce_object(item.wkb, task.grid) if areas else None for task in tasks for item in task.objects]
    items = [item for task in tasks for item in task.objects]
    wkb = [item.wkb if area is None else _EMPTY for item, area in zip(items, reduced, strict=True)]
    transforms = np.repeat(np.array([task.grid.transform for task in tasks], np.float64).reshape(-1, 6), counts, axis=0)
    geometries = transform_each_to_pixels(wkb, transforms)
    if width is not None:
        geometries = _buffer_each(geometries, width, tasks, counts)
    drawn = geometries.copy()
    small, centres = _find_small_areas(geometries) if represent_small else ([], [])
    drawn[small] = centres
    for index, area in enumerate(reduced):
        if area is not None:
            geometries[index] = drawn[index] = area
    is_small = np.zeros(len(geometries), np.bool_)
    is_small[small] = True
    is_kept = ~shapely.is_empty(geometries)
    for task, stop, count in zip(tasks, np.cumsum(counts).tolist(), counts, strict=True):
        own = np.arange(stop - count, stop)[is_kept[stop - count : stop]]
        clipped = {number: items[index].wkb for number, index in enumerate(own) if reduced[index] is not None}
        objects = [items[index] for index in own]
        small_numbers = np.flatnonzero(is_small[own]).tolist()
        yield _make_geometries(task.grid, objects, geometries[own], drawn[own], small_numbers, clipped)


def _make_geometries(
    grid: Grid,
    objects: list[VisibleObject],
    geometries: Geometries,
    drawn: Geometries,
    small: list[int],
    clipped: Mapping[int, bytes],
) -> PixelGeometries:
    drawable = [index for index, item in enumerate(objects) if not item.ignored]
    foreground = [index for index in drawable if objects[index].value != 0]
    background = [index for index in drawable if objects[index].value == 0]
    return PixelGeometries(objects, geometries, drawn, small, foreground, background, grid, clipped)


def _buffer_each(
    geometries: Geometries, width: LineWidth, tasks: Sequence[LabelTask], counts: Sequence[int]
) -> Geometries:
    """Buffer the lines and points of each task, whose pixels may have other sizes in metres."""
    parts = np.split(geometries, np.cumsum(counts)[:-1])
    return np.concatenate(
        [buffer_lines_and_points(part, width, task.grid) for part, task in zip(parts, tasks, strict=True)]
    )


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
