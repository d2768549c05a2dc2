"""Areas of many vertices, such as a coastline: prepare them once for several rasters, and draw what each shows."""

from typing import Final

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from geographer.algorithms.ring_reduction import RingReducer
from geographer.base.values import Grid, Transform
from geographer.rasters.pixel_geometries import to_pixel_coordinates, transform_to_pixels

MIN_BYTES: Final = 1 << 14
"""The size of the WKB, about a thousand vertices, from which an area is reduced to each raster."""
_MARGIN: Final = 4
"""How far outside of a raster vertices are kept, in pixels."""
_CLEARANCE: Final = 1e-3
"""How far a pixel centre must be from the edge of an area, in pixels, so that rounding cannot put it outside."""
_MAX_SHIFT: Final = 1e-4


class LargeAreas:
    """The large areas of a batch of tasks, each prepared when it is first drawn."""

    def __init__(self) -> None:
        self._areas: dict[int, tuple[bytes, list[LargeArea]]] = {}

    def reduce_object(self, wkb: bytes, grid: Grid) -> BaseGeometry | None:
        """Return what a raster shows of an object, in its pixels; None if it is not a large area, or a doubtful one."""
        if len(wkb) < MIN_BYTES:
            return None
        # Tasks share the WKB of an object; the reference to it keeps its id in use.
        _, areas = self._areas.setdefault(id(wkb), (wkb, []))
        area = next((area for area in areas if area.can_serve(grid)), None)
        if area is None:
            areas.append(area := LargeArea(wkb, grid.transform))
        return area.reduce_to(grid) if area.is_usable else None


class LargeArea:
    """An area in the CRS of rasters, whose vertices were transformed to the pixels of the first one."""

    def __init__(self, wkb: bytes, transform: Transform) -> None:
        """Prepare an area for rasters whose grids are whole pixels away from that with this `transform`."""
        self.transform = transform
        self.is_usable = False
        area = shapely.force_2d(shapely.from_wkb(wkb))
        if shapely.get_dimensions(area) != 2 or shapely.get_type_id(area) not in (3, 6):
            return
        (pixels,) = transform_to_pixels([wkb], Grid("", transform, 1, 1))
        if pixels.is_empty or not _covers_centre_clearly(pixels):
            return
        rings, polygons = shapely.get_rings(shapely.get_parts(area), return_index=True)
        self._points, self._rings = shapely.get_coordinates(rings, return_index=True)
        self._polygons = polygons
        self._reducer = RingReducer(shapely.get_coordinates(pixels), self._rings)
        self.is_usable = self._reducer.has_clear_directions

    def can_serve(self, grid: Grid) -> bool:
        """Return whether a grid has the pixels of the first raster's, and is whole pixels away from it."""
        columns, rows = self._find_shift(grid.transform)
        is_same = (*grid.transform[:2], *grid.transform[3:5]) == (*self.transform[:2], *self.transform[3:5])
        return is_same and abs(columns - round(columns)) < _MAX_SHIFT and abs(rows - round(rows)) < _MAX_SHIFT

    def reduce_to(self, grid: Grid) -> BaseGeometry:
        """Return polygons, in the pixels of a grid, that cover the same pixels there as the area."""
        columns, rows = self._find_shift(grid.transform)
        sides = (columns - _MARGIN, rows - _MARGIN, columns + grid.width + _MARGIN, rows + grid.height + _MARGIN)
        indices = self._reducer.select_vertices(*sides)
        if not len(indices):
            return shapely.MultiPolygon()
        points = to_pixel_coordinates(self._points[indices], np.array(grid.transform, np.float64))
        numbers, owners = np.unique(self._rings[indices], return_inverse=True)
        rings = shapely.linearrings(points, indices=owners)
        starts = np.flatnonzero(np.diff(self._polygons[numbers], prepend=-1))
        groups = np.split(rings, starts[1:])
        return shapely.MultiPolygon([shapely.polygons(group[0], group[1:]) for group in groups])

    def _find_shift(self, transform: Transform) -> tuple[float, float]:
        """Return the column and the row of a grid's corner on the first raster's grid."""
        corner = np.array([[transform.c, transform.f]])
        columns, rows = to_pixel_coordinates(corner, np.array(self.transform, np.float64))[0].tolist()
        return columns, rows


def _covers_centre_clearly(area: BaseGeometry) -> bool:
    """Return whether an area contains a pixel centre at its representative point, far enough from its edge."""
    point = shapely.point_on_surface(area)
    centre = shapely.points(np.floor([[point.x, point.y]]) + 0.5)[0]
    return bool(area.contains(centre)) and bool(shapely.distance(area.boundary, centre) > _CLEARANCE)
