"""Geometries in pixel coordinates: transform them from a raster's CRS, and give lines and points a width.

Pixel coordinates are x = column and y = row, both 0 at the outer corner of the first pixel: pixel (row, column) is the
square from (column, row) to (column + 1, row + 1). Coordinates are rounded to 1e-6 pixel, so that geometries on the
grids of a chip and its scene, which are whole pixels apart, differ by exactly these whole pixels.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from geographer.base.values import Grid, LineWidth
from geographer.rasters.crs import parse_crs

Geometries = NDArray[np.object_]
Matrix = NDArray[np.floating[Any]]

DECIMALS: Final = 6
"""Decimals of pixel coordinates."""
_SEMI_MAJOR_AXIS, _ECCENTRICITY_SQUARED = 6_378_137.0, 0.006694379990141317
"""WGS84 ellipsoid; the axis in metres."""


def transform_to_pixels(wkb: Sequence[bytes], grid: Grid) -> Geometries:
    """Transform geometries from the CRS of `grid` to pixel coordinates, shape (n,); non-finite ones become empty."""
    return transform_each_to_pixels(wkb, np.broadcast_to(np.array(grid.transform, np.float64), (len(wkb), 6)))


def transform_each_to_pixels(wkb: Sequence[bytes], transforms: Matrix) -> Geometries:
    """Transform geometries to the pixel coordinates of rasters: `transforms`, shape (n, 6), has one for each.

    Return shape (n,); non-finite geometries become empty.
    """
    geometries: Geometries = np.asarray(shapely.from_wkb(np.array(wkb, object)))
    geometries[~np.isfinite(shapely.bounds(geometries)).all(axis=1)] = shapely.Point()
    geometries = np.asarray(shapely.force_2d(geometries), object)
    points, owners = shapely.get_coordinates(geometries, return_index=True)
    return np.asarray(shapely.set_coordinates(geometries, to_pixel_coordinates(points, transforms[owners])), object)


def to_pixel_coordinates(points: Matrix, transforms: Matrix) -> Matrix:
    """Transform points, shape (n, 2), to pixel coordinates by a transform of shape (6,), or by one for each."""
    a, b, c, d, e, f = transforms.T
    determinant = a * e - b * d
    x, y = points[:, 0] - c, points[:, 1] - f
    columns, rows = (e * x - b * y) / determinant, (a * y - d * x) / determinant
    # Adding 0.0 turns -0.0 into 0.0.
    return np.asarray(np.round(np.column_stack([columns, rows]), DECIMALS) + 0.0)


def buffer_lines_and_points(geometries: Geometries, width: LineWidth, grid: Grid) -> Geometries:
    """Buffer lines and points to a width, with round caps and joins; areas stay as they are. Shape (n,).

    A width in metres uses the pixel size at the raster's centre along both axes (see `compute_metres_per_pixel`), so
    a circle on the ground becomes an ellipse in degrees.
    """
    thin = shapely.get_dimensions(geometries) < 2
    to_width_unit = compute_metres_per_pixel(grid) if width.unit == "m" else np.eye(2)
    buffered = shapely.buffer(_apply_matrix(geometries[thin], to_width_unit), width.amount / 2, quad_segs=16)
    result = geometries.copy()
    result[thin] = _apply_matrix(buffered, np.linalg.inv(to_width_unit))
    return result


def compute_metres_per_pixel(grid: Grid) -> Matrix:
    """Return the matrix, shape (2, 2), from pixels (columns, rows) to metres (east, north) at a raster's centre.

    In a projected CRS, metres are those of the CRS; its scale distortion is ignored. In a geographic CRS, degrees are
    measured on the WGS84 ellipsoid by its radii of curvature (prime vertical, meridian).
    """
    crs = parse_crs(grid.crs)
    a, b, _, d, e, f = grid.transform
    _, factor = crs.units_factor
    pixel = np.array([[a, b], [d, e]])
    if not crs.is_geographic:
        return np.asarray(pixel * factor)
    latitude = min(abs(d * grid.width / 2 + e * grid.height / 2 + f) * factor, math.radians(89.9))
    curvature = 1 - _ECCENTRICITY_SQUARED * math.sin(latitude) ** 2
    east = _SEMI_MAJOR_AXIS / math.sqrt(curvature) * math.cos(latitude) * factor
    north = _SEMI_MAJOR_AXIS * (1 - _ECCENTRICITY_SQUARED) / curvature**1.5 * factor
    return np.asarray(np.diag([east, north]) @ pixel)


def _apply_matrix(geometries: Geometries, matrix: Matrix) -> Geometries:
    return np.asarray(shapely.transform(geometries, lambda points: points @ matrix.T), object)
