"""Pixel checks: which shapes cannot be features, their repair, and the way from pixel coordinates to a CRS."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from geographer.base.values import Grid
from geographer.operations.add.annotations.images import ShownRaster
from geographer.operations.add.annotations.shapes import Annotations, Floats, Geometries, join_parts

_MARGIN: Final = 1.0
"""Pixels by which a shape may reach out of its image: tools round coordinates."""
_AREA: Final = 2


def scale_to_rasters(annotations: Annotations, shown: Mapping[int, ShownRaster]) -> None:
    """Scale the shapes of images that show their rasters at another size."""
    factors = np.ones((len(annotations.images), 2))
    for index, raster in shown.items():
        image = annotations.images[index]
        if annotations.is_relative and image.width and image.height:
            factors[index] = raster.grid.width / image.width, raster.grid.height / image.height
    if (factors != 1).any():
        points, owner = shapely.get_coordinates(annotations.geometry, return_index=True)
        rows = np.asarray(annotations.image, np.int64)[owner]
        shapely.set_coordinates(annotations.geometry, points * factors[rows])


def note_problems(annotations: Annotations, shown: Mapping[int, ShownRaster], *, repair: bool) -> None:
    """Note what is wrong with the shapes on `shown` images, after repairing what can be, if `repair`."""
    geometries = annotations.geometry
    is_present = ~shapely.is_missing(geometries)
    is_area = is_present & (shapely.get_dimensions(geometries) == _AREA)
    is_invalid = is_area & ~shapely.is_valid(geometries)
    if repair:
        for row in np.flatnonzero(is_invalid):
            geometries[row] = repair_area(geometries[row])
        is_invalid = is_area & ~shapely.is_valid(geometries)
    is_flat = is_area & ~(shapely.area(geometries) > 0)
    is_flat[is_flat] = ~(shapely.area(shapely.convex_hull(geometries[is_flat])) > 0)
    bounds = shapely.bounds(geometries)
    sizes = np.full((len(annotations.images), 2), np.inf)
    for index, raster in shown.items():
        sizes[index] = raster.grid.width, raster.grid.height
    limits = sizes[np.asarray(annotations.image, np.int64)]
    with np.errstate(invalid="ignore"):
        is_outside = (bounds[:, :2] < -_MARGIN).any(axis=1) | (bounds[:, 2:] > limits + _MARGIN).any(axis=1)
    is_infinite = is_present & ~np.isfinite(bounds).all(axis=1)
    reasons: list[tuple[NDArray[np.bool_], str]] = [
        (is_infinite, "its coordinates are not finite"),
        (is_outside & is_present, "it reaches out of its image by more than a pixel"),
        (is_invalid & ~is_flat, "its polygon crosses or touches itself: pass --repair"),
        (is_flat, "it has no area"),
    ]
    for selected, reason in reasons:
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
