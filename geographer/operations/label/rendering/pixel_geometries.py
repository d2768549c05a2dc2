"""What a raster shows, in its pixel grid: shapes transformed, widened, measured, and none too small to be seen.

Pixel coordinates are x = column and y = row, both 0 at the outer corner of the first pixel, so that pixel (row, column)
is the square from (column, row) to (column + 1, row + 1). They are rounded to millionths of a pixel: a chip's grid and
its scene's then differ by whole pixels exactly, and so do the shapes on them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from geographer.base.values import Grid, LineWidth
from geographer.rasters.crs import parse_crs

Geometries = NDArray[np.object_]
Matrix = NDArray[np.float64]

_DECIMALS = 6
_LOOKED_AT, _LOOKED_AT_FIRST = 1024, 16
"""Pixels along the side of the blocks in which a thin shape is looked for, and about the place that is tried first."""
_SEMI_MAJOR, _ECCENTRICITY_SQUARED = 6_378_137.0, 0.006694379990141317
"""Of the WGS84 ellipsoid, in metres."""


class Shown(NamedTuple):
    """An object that a raster shows: its geometry as WKB in the raster's CRS (x before y), and what is known of it.

    `value` is its class's; 0 is the background class, which erases. `ignored` objects take a mask's ignore value.
    `probabilities` are of the classes of a soft label. `properties` are the person's own columns.
    """

    feature_id: str
    class_name: str
    value: int
    wkb: bytes
    ignored: bool = False
    probabilities: tuple[float, ...] | None = None
    properties: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Shapes:
    """Objects with their geometries in a raster's pixel grid, in the order in which they were added.

    Attributes:
        shown: The objects.
        geometries: One for each, not empty; shape (n,).
        stand_ins: Of those that cover no pixel's centre, the pixel (column, row) that stands for each, by place.
    """

    shown: Sequence[Shown]
    geometries: Geometries
    stand_ins: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.shown)

    def drawable(self, place: int) -> list[BaseGeometry]:
        """The simple parts of an object's geometry, as `rasterize` takes them; a point for one that is too small."""
        if place in self.stand_ins:
            column, row = self.stand_ins[place]
            return [shapely.Point(column + 0.5, row + 0.5)]
        return [part for part in shapely.get_parts(self.geometries[place]) if not part.is_empty]

    def areas(self) -> NDArray[np.float64]:
        """The area of each in pixels, shape (n,), of the whole object; lines and points have none."""
        areas: NDArray[np.float64] = np.round(shapely.area(self.geometries), _DECIMALS)
        return areas

    def background(self) -> list[int]:
        """The places of what erases."""
        return [place for place, one in enumerate(self.shown) if one.value == 0 and not one.ignored]

    def foreground(self) -> list[int]:
        """The places of the objects that are neither background nor ignored."""
        return [place for place, one in enumerate(self.shown) if one.value != 0 and not one.ignored]


def shapes_on(
    grid: Grid, shown: Sequence[Shown], width: LineWidth | None = None, *, standing_in: bool = True
) -> Shapes:
    """The objects in the pixel grid; those without a place on it (empty, or not to be expressed) are left out.

    Args:
        grid: Of the raster.
        shown: In the order in which they were added.
        width: Of lines and points; None leaves them as they are.
        standing_in: Look for areas that hold no pixel's centre, and let a pixel stand for each. Whether one does is
            asked of the whole object, on a grid without bounds: so a chip shows what its scene does.
    """
    places = in_pixels([one.wkb for one in shown], grid)
    kept = [place for place, one in enumerate(places) if not shapely.is_empty(one)]
    geometries = places[kept]
    if width is not None:
        geometries = widened(geometries, width, grid)
    there = Shapes([shown[place] for place in kept], geometries)
    return Shapes(there.shown, geometries, _stand_ins(geometries)) if standing_in else there


def in_pixels(wkb: Sequence[bytes], grid: Grid) -> Geometries:
    """Geometries in the CRS of `grid`, in its pixel coordinates; shape (n,). One that isn't finite comes out empty."""
    geometries: Geometries = np.asarray(shapely.from_wkb(np.array(list(wkb), object)))
    if not len(geometries):
        return geometries
    a, b, c, d, e, f = grid.transform
    determinant = a * e - b * d

    def placed(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = points[:, 0] - c, points[:, 1] - f
        columns, rows = (e * x - b * y) / determinant, (a * y - d * x) / determinant
        # A negative zero would only be another way to write it.
        return np.asarray(np.round(np.column_stack([columns, rows]), _DECIMALS) + 0.0, np.float64)

    finite = np.isfinite(shapely.bounds(geometries)).all(axis=1)
    geometries[~finite] = shapely.Point()
    return np.asarray(shapely.transform(shapely.force_2d(geometries), placed), object)


def widened(geometries: Geometries, width: LineWidth, grid: Grid) -> Geometries:
    """Lines and points as areas of that width, with round ends and joins; areas as they are. Shape (n,).

    Metres are those of the raster's pixels at its middle, along both axes: see `metres_of_pixels`. What is round on
    the ground there is an ellipse in degrees.
    """
    thin = shapely.get_dimensions(geometries) < 2
    if not thin.any():
        return geometries
    to = metres_of_pixels(grid) if width.unit == "m" else np.eye(2)
    back = np.asarray(np.linalg.inv(to), np.float64)
    measured = _linear(geometries[thin], to)
    wide = geometries.copy()
    wide[thin] = _linear(shapely.buffer(measured, width.amount / 2, quad_segs=16), back)
    return wide


def metres_of_pixels(grid: Grid) -> Matrix:
    """The matrix, shape (2, 2), from pixels (columns, rows) to metres (east, north) at the middle of a raster.

    In a projected CRS a unit is as many metres as the CRS says; its distortion is left out, as it is when one measures
    on the map. Degrees are measured on the WGS84 ellipsoid at the raster's middle.
    """
    crs = parse_crs(grid.crs)
    a, b, _, d, e, f = grid.transform
    _, factor = crs.units_factor
    pixel = np.array([[a, b], [d, e]])
    if not crs.is_geographic:
        return np.asarray(pixel * factor)
    latitude = min(abs(d * grid.width / 2 + e * grid.height / 2 + f) * factor, math.radians(89.9))
    flattened = 1 - _ECCENTRICITY_SQUARED * math.sin(latitude) ** 2
    east = _SEMI_MAJOR / math.sqrt(flattened) * math.cos(latitude) * factor
    north = _SEMI_MAJOR * (1 - _ECCENTRICITY_SQUARED) / flattened**1.5 * factor
    return np.asarray(np.diag([east, north]) @ pixel)


def _linear(geometries: Geometries, matrix: Matrix) -> Geometries:
    if np.array_equal(matrix, np.eye(2)):
        return geometries
    return np.asarray(shapely.transform(geometries, lambda points: points @ matrix.T), object)


def burned(
    parts: Sequence[BaseGeometry],
    size: tuple[int, int],
    *,
    origin: tuple[int, int] = (0, 0),
    all_touched: bool = False,
) -> NDArray[np.bool_]:
    """Which pixels of a window of `size` (rows, columns) the parts cover; shape (rows, columns).

    An area covers the pixels whose centres it holds (GDAL's rule), or with `all_touched` all that it touches; a line
    those on its path (Bresenham), a point the one that it lies in. `origin` is the window's first (column, row).
    """
    if not parts or 0 in size:
        return np.zeros(size, bool)
    window = rasterize(
        parts,
        out_shape=size,
        transform=rasterio.Affine.translation(*origin),
        dtype="uint8",
        all_touched=all_touched,
        skip_invalid=False,
    )
    return np.asarray(window != 0)


def _stand_ins(geometries: Geometries) -> dict[int, tuple[int, int]]:
    """The pixels of the areas that cover none, by place: those that their representative points lie in."""
    areas = np.flatnonzero(shapely.get_dimensions(geometries) == 2)
    if not len(areas):
        return {}
    inside = shapely.point_on_surface(geometries[areas])
    points = np.column_stack([shapely.get_x(inside), shapely.get_y(inside)])
    unplaced = ~np.isfinite(points).all(axis=1)
    points[unplaced] = shapely.bounds(geometries[areas][unplaced])[:, :2]
    pixels = np.floor(np.round(points, _DECIMALS)).astype(np.int64)
    held = shapely.contains_xy(geometries[areas], pixels[:, 0] + 0.5, pixels[:, 1] + 0.5)
    return {
        int(area): (int(column), int(row))
        for area, (column, row) in zip(areas[~held], pixels[~held], strict=True)
        if not _covers_any(geometries[area], (int(column), int(row)))
    }


def _covers_any(geometry: BaseGeometry, near: tuple[int, int]) -> bool:
    """Whether an area covers a pixel of a grid without bounds; it is likely to, close to the pixel `near`."""
    parts = [part for part in shapely.get_parts(geometry) if not part.is_empty]
    return any(
        burned(parts, (height, width), origin=(column, row)).any()
        for column, row, width, height in _places_to_look(geometry, near)
    )


def _places_to_look(geometry: BaseGeometry, near: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Windows (column, row, width, height) that hold every pixel whose centre lies in the bounds of a geometry."""
    xmin, ymin, xmax, ymax = geometry.bounds
    first = math.ceil(xmin - 0.5), math.ceil(ymin - 0.5)
    last = math.floor(xmax - 0.5), math.floor(ymax - 0.5)
    if first[0] > last[0] or first[1] > last[1]:
        return
    yield near[0] - _LOOKED_AT_FIRST, near[1] - _LOOKED_AT_FIRST, 2 * _LOOKED_AT_FIRST, 2 * _LOOKED_AT_FIRST
    for row in range(first[1], last[1] + 1, _LOOKED_AT):
        for column in range(first[0], last[0] + 1, _LOOKED_AT):
            yield column, row, min(_LOOKED_AT, last[0] + 1 - column), min(_LOOKED_AT, last[1] + 1 - row)
