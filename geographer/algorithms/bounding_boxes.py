"""Bounding boxes of an object on a raster, axis-aligned and rotated, in pixel coordinates."""

from typing import NamedTuple

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from geographer.algorithms.connected_components import Floats

_DECIMALS = 6
"""Decimals of pixel coordinates; fractions get two more. Beyond that is floating-point noise."""
_MIN_AREA = 1e-6
"""Square pixels: a smaller intersection is what rounding leaves where two shapes only touch."""
_EQUAL_FACTOR = 1 + 1e-4
"""Areas and lengths that differ by less than this factor count as equal."""

Corners = tuple[tuple[float, float], ...]


class ObjectBoxes(NamedTuple):
    """The bounding boxes of the part of an object that lies on a raster, in pixels: x is the column and y the row.

    `box` is (x0, y0, x1, y1) of the axis-aligned box; `corners` are the four (x, y) of the minimum-area rotated one,
    from the topmost (of two the left one), turning from x to y, which is clockwise on the screen. They may lie outside
    the raster. `visible` is the fraction of the object's area that lies on the raster, above 0 to 1.
    """

    box: tuple[float, float, float, float]
    corners: Corners
    visible: float


def compute_boxes(area: BaseGeometry, width: int, height: int) -> ObjectBoxes | None:
    """Compute the boxes of a (multi)polygon in pixel coordinates on a raster of this size; None if it isn't visible."""
    valid_area = area if area.is_valid else shapely.make_valid(area)
    parts = shapely.get_parts(shapely.intersection(valid_area, shapely.box(0, 0, width, height)))
    # Where an object touches the border, clipping leaves lines and points.
    visible = shapely.MultiPolygon(list(parts[shapely.get_dimensions(parts) == 2]))
    if visible.area <= _MIN_AREA * min(1.0, valid_area.area):
        return None
    x0, y0, x1, y1 = (_round_coordinate(bound) for bound in visible.bounds)
    fraction = min(visible.area / valid_area.area, 1.0)
    return ObjectBoxes((x0, y0, x1, y1), find_corners(visible), round(fraction, _DECIMALS + 2))


def find_corners(visible: BaseGeometry) -> Corners:
    """Return the corners of the minimum-area rectangle in the order of `ObjectBoxes.corners`."""
    corners = _minimum_rectangle(shapely.get_coordinates(shapely.convex_hull(visible))[:-1])
    rounded = [(_round_coordinate(x), _round_coordinate(y)) for x, y in corners]
    first = min(range(len(rounded)), key=lambda i: (rounded[i][1], rounded[i][0]))
    return tuple(rounded[first:] + rounded[:first])


def _minimum_rectangle(hull: Floats) -> Floats:
    """Return the corners, shape (4, 2), of the minimum-area rectangle around the convex `hull`, shape (n, 2).

    One of its sides lies along an edge of the hull (Freeman and Shapira, 1975). Among rectangles of equal area, which
    every triangle has, choose the one with the shortest sides, and then the least rotated, so that rounding does not
    decide.
    """
    centre = (hull.min(axis=0) + hull.max(axis=0)) / 2
    centred, edges = hull - centre, np.roll(hull, -1, axis=0) - hull
    angles = np.unique(np.round(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2), 12))
    along = np.column_stack([np.cos(angles), np.sin(angles)])
    across = np.column_stack([-along[:, 1], along[:, 0]])
    u, v = along @ centred.T, across @ centred.T
    low, high = np.array([u.min(axis=1), v.min(axis=1)]), np.array([u.max(axis=1), v.max(axis=1)])
    width, height = high - low
    smallest = np.flatnonzero(width * height <= (width * height).min() * _EQUAL_FACTOR)
    sides = (width + height)[smallest]
    best = smallest[sides <= sides.min() * _EQUAL_FACTOR][0]
    (u0, v0), (u1, v1) = low[:, best], high[:, best]
    corners = np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1]])
    return np.asarray(corners @ np.array([along[best], across[best]]) + centre)


def _round_coordinate(coordinate: float) -> float:
    return round(float(coordinate), _DECIMALS) + 0.0
