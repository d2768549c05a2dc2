"""Geometries of the objects on a raster in pixel coordinates: transform, buffer, and find objects smaller than a pixel.

Pixel coordinates are x = column and y = row, both 0 at the outer corner of the first pixel: pixel (row, column) is the
square from (column, row) to (column + 1, row + 1). Coordinates are rounded to 1e-6 pixel, so that geometries on the
grids of a chip and its scene, which are whole pixels apart, differ by exactly these whole pixels.
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

from geographer.base.values import Grid, LineWidth, Window
from geographer.rasters.crs import parse_crs

Geometries = NDArray[np.object_]
Matrix = NDArray[np.floating[Any]]

_DECIMALS = 6
_SEARCH_SIZE, _FIRST_SEARCH_RADIUS = 1024, 16
"""Size of the windows, in pixels, in which a thin area is searched for pixel centres; radius of the first window."""
_SEMI_MAJOR_AXIS, _ECCENTRICITY_SQUARED = 6_378_137.0, 0.006694379990141317
"""WGS84 ellipsoid; the axis in metres."""


class VisibleObject(NamedTuple):
    """A feature to draw on a raster.

    `value` is the class value; 0 is the background class, which erases. `wkb` is the geometry in the raster's CRS, x
    before y. A mask burns its ignore value for an `ignored` object. `probabilities` has one value for each
    class of a probability label. `properties` are the user columns.
    """

    feature_id: str
    class_name: str
    value: int
    wkb: bytes
    ignored: bool = False
    probabilities: tuple[float, ...] | None = None
    properties: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class PixelGeometries:
    """Objects and their geometries in pixel coordinates, in the order in which the features were added.

    Attributes:
        objects: The objects.
        geometries: One non-empty geometry for each, shape (n,).
        size: The numbers of rows and columns of the raster.
        representative_pixels: By index, the (column, row) to burn for an area that covers no pixel centre.
    """

    objects: Sequence[VisibleObject]
    geometries: Geometries
    size: tuple[int, int]
    representative_pixels: dict[int, tuple[int, int]] = field(default_factory=dict)

    def list_parts(self, *indices: int) -> list[BaseGeometry]:
        """Return the single-part geometries of some objects; for one with a representative pixel, its centre."""
        parts: list[BaseGeometry] = []
        for index in indices:
            if index in self.representative_pixels:
                column, row = self.representative_pixels[index]
                parts.append(shapely.Point(column + 0.5, row + 0.5))
            else:
                parts += [part for part in shapely.get_parts(self.geometries[index]) if not part.is_empty]
        return parts

    def rasterize_objects(self, *indices: int) -> NDArray[np.bool_]:
        """Return the pixels that some objects cover, shape (rows, columns)."""
        return rasterize_mask(self.list_parts(*indices), Window(0, 0, *self.size[::-1]))

    def burn_layers(
        self, layers: Sequence[tuple[int, int]], dtype: str, *, all_touched: bool = False
    ) -> NDArray[np.generic]:
        """Burn layers (index of an object, value) one over the other; return shape (rows, columns), 0 elsewhere."""
        parts = [(part, value) for index, value in layers for part in self.list_parts(index)]
        return burn_values(parts, Window(0, 0, *self.size[::-1]), dtype, all_touched=all_touched)

    def compute_areas(self) -> NDArray[np.float64]:
        """Return the area of each object in square pixels, unclipped, shape (n,); 0 for lines and points."""
        return np.asarray(np.round(shapely.area(self.geometries), _DECIMALS))

    def find_background(self) -> list[int]:
        """Return the indices of background objects that are not ignored."""
        return [index for index, item in enumerate(self.objects) if item.value == 0 and not item.ignored]

    def find_foreground(self) -> list[int]:
        """Return the indices of objects that are neither background nor ignored."""
        return [index for index, item in enumerate(self.objects) if item.value != 0 and not item.ignored]


def to_pixel_geometries(
    grid: Grid, objects: Sequence[VisibleObject], width: LineWidth | None = None, *, represent_small: bool = True
) -> PixelGeometries:
    """Transform objects to the pixel grid; objects whose geometry is empty or not finite there are left out.

    Args:
        grid: The raster's grid.
        objects: The objects, in the order in which the features were added.
        width: The width to buffer lines and points to; None: do not buffer.
        represent_small: Find a representative pixel for each area that covers no pixel centre. The test uses the whole
            object on an unbounded grid, so that a chip's label equals its window of the scene's label.
    """
    geometries = transform_to_pixels([item.wkb for item in objects], grid)
    kept = np.flatnonzero(~shapely.is_empty(geometries)).tolist()
    geometries = geometries[kept]
    if width is not None:
        geometries = buffer_lines_and_points(geometries, width, grid)
    representative_pixels = _find_representative_pixels(geometries) if represent_small else {}
    size = (grid.height, grid.width)
    return PixelGeometries([objects[index] for index in kept], geometries, size, representative_pixels)


def transform_to_pixels(wkb: Sequence[bytes], grid: Grid) -> Geometries:
    """Transform geometries from the CRS of `grid` to pixel coordinates, shape (n,); non-finite ones become empty."""
    geometries: Geometries = np.asarray(shapely.from_wkb(np.array(list(wkb), object)))
    if not len(geometries):
        return geometries
    a, b, c, d, e, f = grid.transform
    determinant = a * e - b * d

    def to_pixels(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = points[:, 0] - c, points[:, 1] - f
        columns, rows = (e * x - b * y) / determinant, (a * y - d * x) / determinant
        # Adding 0.0 turns -0.0 into 0.0.
        return np.asarray(np.round(np.column_stack([columns, rows]), _DECIMALS) + 0.0, np.float64)

    finite = np.isfinite(shapely.bounds(geometries)).all(axis=1)
    geometries[~finite] = shapely.Point()
    return np.asarray(shapely.transform(shapely.force_2d(geometries), to_pixels), object)


def buffer_lines_and_points(geometries: Geometries, width: LineWidth, grid: Grid) -> Geometries:
    """Buffer lines and points to a width, with round caps and joins; areas stay as they are. Shape (n,).

    A width in metres uses the pixel size at the raster's centre along both axes (see `compute_metres_per_pixel`), so
    a circle on the ground becomes an ellipse in degrees.
    """
    thin = shapely.get_dimensions(geometries) < 2
    if not thin.any():
        return geometries
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
    if np.array_equal(matrix, np.eye(2)):
        return geometries
    return np.asarray(shapely.transform(geometries, lambda points: points @ matrix.T), object)


def burn_values(
    parts: Sequence[tuple[BaseGeometry, int]], window: Window, dtype: str, *, all_touched: bool = False
) -> NDArray[np.generic]:
    """Burn the values of geometries one over the other in a window; return shape (rows, columns), 0 elsewhere.

    An area covers the pixels whose centres it contains (GDAL's rule), or with `all_touched` every pixel that it
    touches; a line covers the pixels along its path (Bresenham); a point covers the pixel that contains it. `parts` are
    single-part geometries in pixel coordinates.
    """
    size, transform = (window.height, window.width), rasterio.Affine.translation(window.col, window.row)
    if not parts:
        return np.zeros(size, dtype)
    pixels: NDArray[np.generic] = rasterize(
        parts, size, transform=transform, dtype=dtype, all_touched=all_touched, skip_invalid=False
    )
    return pixels


def rasterize_mask(parts: Sequence[BaseGeometry], window: Window) -> NDArray[np.bool_]:
    """Return the pixels that geometries cover in a window, shape (rows, columns); see `burn_values`."""
    return burn_values([(part, 1) for part in parts], window, "uint8").astype(np.bool_)


def _find_representative_pixels(geometries: Geometries) -> dict[int, tuple[int, int]]:
    """Return by index the pixel that contains the representative point of each area that covers no pixel centre."""
    areas = np.flatnonzero(shapely.get_dimensions(geometries) == 2)
    if not len(areas):
        return {}
    representative = shapely.point_on_surface(geometries[areas])
    points = np.column_stack([shapely.get_x(representative), shapely.get_y(representative)])
    missing = ~np.isfinite(points).all(axis=1)
    points[missing] = shapely.bounds(geometries[areas][missing])[:, :2]
    pixels = np.floor(np.round(points, _DECIMALS)).astype(np.int64)
    covered = shapely.contains_xy(geometries[areas], pixels[:, 0] + 0.5, pixels[:, 1] + 0.5)
    return {
        int(index): (int(column), int(row))
        for index, (column, row) in zip(areas[~covered], pixels[~covered], strict=True)
        if not _covers_pixel_centre(geometries[index], (int(column), int(row)))
    }


def _covers_pixel_centre(geometry: BaseGeometry, near: tuple[int, int]) -> bool:
    """Return whether an area covers a pixel centre of an unbounded grid; the search starts at the pixel `near`."""
    parts = [part for part in shapely.get_parts(geometry) if not part.is_empty]
    return any(rasterize_mask(parts, window).any() for window in _iter_search_windows(geometry, near))


def _iter_search_windows(geometry: BaseGeometry, near: tuple[int, int]) -> Iterator[Window]:
    """Yield windows that contain every pixel centre in a geometry's bounds."""
    xmin, ymin, xmax, ymax = geometry.bounds
    columns = range(math.ceil(xmin - 0.5), math.floor(xmax - 0.5) + 1)
    rows = range(math.ceil(ymin - 0.5), math.floor(ymax - 0.5) + 1)
    if not columns or not rows:
        return
    radius = _FIRST_SEARCH_RADIUS
    yield Window(near[0] - radius, near[1] - radius, 2 * radius, 2 * radius)
    for row in rows[::_SEARCH_SIZE]:
        for column in columns[::_SEARCH_SIZE]:
            width, height = min(_SEARCH_SIZE, columns.stop - column), min(_SEARCH_SIZE, rows.stop - row)
            yield Window(column, row, width, height)
