"""Plans boxes: what of an object lies on a raster, and the boxes around that, in pixel coordinates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

_DECIMALS = 6
"""Of coordinates in pixels, and of shares two more: finer than that is the noise of floating point."""
_NOTHING = 1e-6
"""A smaller area, in pixels, is what rounding leaves where two shapes only touch."""

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
    around = shapely.oriented_envelope(seen)
    corners = shapely.get_coordinates(around)[:4]
    x, y = corners[:, 0], corners[:, 1]
    if np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) < 0:
        corners = corners[::-1]
    rounded = [(_rounded(x), _rounded(y)) for x, y in corners]
    first = min(range(len(rounded)), key=lambda i: (rounded[i][1], rounded[i][0]))
    return tuple(rounded[first:] + rounded[:first])


def _rounded(coordinate: float) -> float:
    return round(float(coordinate), _DECIMALS) + 0.0
