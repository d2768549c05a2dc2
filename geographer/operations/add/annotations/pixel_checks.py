"""Pixel checks: which shapes cannot be features, their repair, and the way from pixel coordinates to a CRS."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from geographer.base.values import Grid
from geographer.operations.add.annotations.images import ShownRaster, has_size_of
from geographer.operations.add.annotations.shapes import Annotations, Floats, Geometries, join_parts

_MARGIN: Final = 1.0
"""Pixels by which a shape may reach out of its image: tools round coordinates."""
_AREA: Final = 2


def scale_to_rasters(annotations: Annotations, shown: Mapping[int, ShownRaster]) -> None:
    """Scale the shapes of images that show their rasters at another size.

    A shape that was drawn on an image of another aspect ratio than its raster's gets a problem.
    """
    if not annotations.is_relative:
        return
    by_image = np.ones((len(annotations.images), 2))
    for index, raster in shown.items():
        image = annotations.images[index]
        if image.width and image.height:
            by_image[index] = raster.grid.width / image.width, raster.grid.height / image.height
    factors = by_image[np.asarray(annotations.image, np.int64)]
    for row, (width, height) in annotations.drawn_sizes.items():
        raster_shown = shown.get(annotations.image[row])
        if raster_shown is None or row in annotations.problems:
            continue
        grid = raster_shown.grid
        factors[row] = grid.width / width, grid.height / height
        if not has_size_of(grid, width, height, is_relative=True):
            annotations.problems[row] = (
                f"it was drawn on an image of {width} x {height} pixels, and raster '{raster_shown.raster_id}' has "
                f"{grid.width} x {grid.height}: they do not show the same"
            )
    if (factors != 1).any():
        points, owner = shapely.get_coordinates(annotations.geometry, return_index=True)
        with np.errstate(over="ignore"):
            shapely.set_coordinates(annotations.geometry, points * factors[owner])


def note_problems(annotations: Annotations, shown: Mapping[int, ShownRaster], *, repair: bool) -> None:
    """Note what is wrong with the shapes on `shown` images, after repairing what can be, if `repair`."""
    geometries = annotations.geometry
    bounds = shapely.bounds(geometries)
    sizes = np.full((len(annotations.images), 2), np.inf)
    for index, raster in shown.items():
        sizes[index] = raster.grid.width, raster.grid.height
    limits = sizes[np.asarray(annotations.image, np.int64)]
    is_infinite = ~shapely.is_missing(geometries) & ~np.isfinite(bounds).all(axis=1)
    with np.errstate(invalid="ignore"):
        is_outside = (bounds[:, :2] < -_MARGIN).any(axis=1) | (bounds[:, 2:] > limits + _MARGIN).any(axis=1)
    _note_reason(annotations, is_infinite, "its coordinates are not finite")
    _note_reason(annotations, is_outside & ~is_infinite, "it reaches out of its image by more than a pixel")
    is_usable = np.ones(len(annotations), bool)
    is_usable[[*annotations.problems]] = False
    areas = np.flatnonzero(is_usable & (shapely.get_dimensions(geometries) == _AREA))
    if repair:
        for row in areas[~shapely.is_valid(geometries[areas])]:
            geometries[row] = repair_area(geometries[row])
    hulls = shapely.convex_hull(geometries[areas])
    is_flat, is_invalid = ~(shapely.area(hulls) > 0), ~shapely.is_valid(geometries[areas])
    _note_reason(annotations, np.isin(np.arange(len(annotations)), areas[is_flat]), "it has no area")
    crossing = np.isin(np.arange(len(annotations)), areas[is_invalid])
    _note_reason(annotations, crossing, "its polygon crosses or touches itself: pass --repair")


def _note_reason(annotations: Annotations, selected: NDArray[np.bool_], reason: str) -> None:
    for row in np.flatnonzero(selected):
        annotations.problems.setdefault(int(row), reason)


def repair_area(geometry: shapely.Geometry) -> shapely.Geometry:
    """Return an invalid polygon as valid ones, without the lines and points that it falls apart into."""
    parts = shapely.get_parts(shapely.make_valid(geometry))
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts = shapely.get_parts(parts)
    areas = parts[shapely.get_dimensions(parts) == _AREA]
    return join_parts(areas) if len(areas) else shapely.Polygon()


def transform_to_crs(geometries: Geometries, grids: list[Grid]) -> Geometries:
    """Return geometries in pixel coordinates in the CRS of their grids, x before y; shape (n,)."""
    unique = {id(grid): grid for grid in grids}
    numbers = {key: number for number, key in enumerate(unique)}
    transforms: Floats = np.array([grid.transform for grid in unique.values()], np.float64).reshape(-1, 6)
    result = geometries.copy()
    points, owner = shapely.get_coordinates(result, return_index=True)
    rows = np.array([numbers[id(grid)] for grid in grids], np.int64)[owner]
    a, b, c, d, e, f = transforms[rows].T
    columns, lines = points.T
    shapely.set_coordinates(result, np.column_stack([a * columns + b * lines + c, d * columns + e * lines + f]))
    return np.asarray(result, object)
