"""Plans boxes: what of an object lies on a raster, and the boxes around that, in pixel coordinates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

_DECIMALS = 6
"""Of coordinates in pixels, and of shares two more: finer than that is the noise of floating point."""
_NOTHING = 1e-6
"""A smaller area, in pixels, is what rounding leaves where two shapes only touch."""

_ALIKE = 1 + 1e-4
"""Areas and lengths that differ by less than this factor are taken for equal."""

Points = npt.NDArray[np.float64]
Corners = tuple[tuple[float, float], ...]


class Boxed(NamedTuple):
    """The boxes of an object, clipped to its raster; x is the column and y the row, in pixels.

    Attributes:
        box: (x0, y0, x1, y1) of the smallest upright box around what is seen.
        corners: The four (x, y) of the smallest box around it at any angle: from the topmost (of two the left one), in
            the sense in which x turns to y, which is clockwise on the screen. They may lie outside the raster.
        visible: The share of the object's area that lies on the raster, above 0 to 1.
    """

    box: tuple[float, float, float, float]
    corners: Corners
    visible: float


def boxed(area: BaseGeometry, width: int, height: int) -> Boxed | None:
    """The boxes of an area (one polygon or several) on a raster of `width` by `height` pixels; None if it has none."""
    whole = area if area.is_valid else shapely.make_valid(area)
    seen = _areas_of(shapely.intersection(whole, shapely.box(0, 0, width, height)))
    if seen.area <= _NOTHING * min(1.0, whole.area):
        return None
    x0, y0, x1, y1 = (_rounded(bound) for bound in seen.bounds)
    return Boxed((x0, y0, x1, y1), _corners(seen), round(min(seen.area / whole.area, 1.0), _DECIMALS + 2))


def _areas_of(clipped: BaseGeometry) -> BaseGeometry:
    """What of a geometry has an area: where an object only touches the border, lines and points are left over."""
    parts = shapely.get_parts(clipped)
    return shapely.MultiPolygon(list(parts[shapely.get_dimensions(parts) == 2]))


def _corners(seen: BaseGeometry) -> Corners:
    """The corners of the smallest box at any angle, in the order that `Boxed` states."""
    corners = _smallest_rectangle(shapely.get_coordinates(shapely.convex_hull(seen))[:-1])
    rounded = [(_rounded(x), _rounded(y)) for x, y in corners]
    first = min(range(len(rounded)), key=lambda i: (rounded[i][1], rounded[i][0]))
    return tuple(rounded[first:] + rounded[:first])


def _smallest_rectangle(hull: Points) -> Points:
    """The corners, shape (4, 2), of the rectangle of the least area around the convex `hull`, shape (n, 2).

    One of its sides lies along an edge of the hull (Freeman and Shapira, 1975). Of rectangles that are as small, which
    every triangle has, it is the one with the shortest sides, and then the least turned; were that left to the last
    bits, it would be another one on another machine. GEOS has changed its mind about it, too.
    """
    middle = (hull.min(axis=0) + hull.max(axis=0)) / 2
    around, edges = hull - middle, np.roll(hull, -1, axis=0) - hull
    turns = np.unique(np.round(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2), 12))
    along = np.column_stack([np.cos(turns), np.sin(turns)])
    across = np.column_stack([-along[:, 1], along[:, 0]])
    u, v = along @ around.T, across @ around.T
    low, high = np.array([u.min(axis=1), v.min(axis=1)]), np.array([u.max(axis=1), v.max(axis=1)])
    width, height = high - low
    alike = np.flatnonzero(width * height <= (width * height).min() * _ALIKE)
    sides = (width + height)[alike]
    best = alike[sides <= sides.min() * _ALIKE][0]
    (u0, v0), (u1, v1) = low[:, best], high[:, best]
    places = np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1]])
    return np.asarray(places @ np.array([along[best], across[best]]) + middle)


def _rounded(coordinate: float) -> float:
    return round(float(coordinate), _DECIMALS) + 0.0
