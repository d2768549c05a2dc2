"""Outlines of grids in other CRSs, as footprints in longitude/latitude, and the area that they share."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.warp import transform

from geographer.base.values import Grid
from geographer.rasters.crs import parse_crs
from geographer.rasters.read import find_grid_corners

Polygons = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]

WGS84: Final = "EPSG:4326"
_EDGE_POINTS: Final = 21
_SEMI_MAJOR_AXIS: Final = 6_378_137.0
_ECCENTRICITY: Final = 0.081_819_190_842_621_5


def make_outlines(grids: Sequence[Grid], crs: str | None = None) -> Polygons:
    """Return the outlines of grids as polygons, in their own CRSs or, along densified edges, in `crs`; shape (n,).

    Coordinates are x before y. An outline that has no place in `crs` is an empty polygon.
    """
    corners = [find_grid_corners(grid) for grid in grids]
    if crs is None:
        return _make_polygons(corners)
    rings = [_densify_ring(ring) if grid.crs != crs else ring for grid, ring in zip(grids, corners, strict=True)]
    return _make_polygons(_project_rings(rings, [grid.crs for grid in grids], crs))


def make_footprints(grids: Sequence[Grid]) -> Polygons:
    """Return footprints in WGS84 degrees, split at the antimeridian, or empty polygons; shape (n,)."""
    from geographer.algorithms.antimeridian import cut_at_antimeridian

    rings = [_densify_ring(find_grid_corners(grid)) for grid in grids]
    polygons = _make_polygons(_project_rings(rings, [grid.crs for grid in grids], WGS84))
    footprints = [
        shapely.Polygon() if _is_outside(polygon) else _cut_footprint(polygon, cut_at_antimeridian)
        for polygon in polygons
    ]
    return np.array(footprints, dtype=np.object_)


def measure_areas(polygons: Polygons, crs_texts: Sequence[str]) -> Floats:
    """Return the areas on the WGS84 ellipsoid, in square metres, of polygons that lie in these CRSs; shape (n,).

    The boundaries are densified, then projected to an equal-area cylinder (Snyder 1987, Map Projections: A Working
    Manual, equation 3-12). A part that has no place in longitude/latitude counts 0.
    """
    areas = np.zeros(len(polygons))
    by_crs: dict[str, list[int]] = {}
    for index, text in enumerate(crs_texts):
        by_crs.setdefault(text, []).append(index)
    for text, indices in by_crs.items():
        chosen = polygons[indices]
        sides = np.maximum(np.sqrt(np.abs(shapely.area(chosen))), 1e-12) / _EDGE_POINTS
        dense = shapely.segmentize(chosen, sides)
        points, owner = shapely.get_coordinates(dense, return_index=True)
        shapely.set_coordinates(dense, _to_equal_area(_project_points(points, text, WGS84), owner))
        areas[indices] = np.nan_to_num(np.abs(shapely.area(dense)), posinf=0.0)
    return areas


def _make_polygons(rings: Sequence[Floats]) -> Polygons:
    polygons = [shapely.Polygon(ring) if np.isfinite(ring).all() else shapely.Polygon() for ring in rings]
    return np.array(polygons, dtype=np.object_)


def _densify_ring(corners: Floats) -> Floats:
    """Return points along the edges of a ring, `_EDGE_POINTS` an edge, from the first corner on."""
    fractions = np.arange(_EDGE_POINTS)[:, None] / _EDGE_POINTS
    ends = np.roll(corners, -1, axis=0)
    return np.concatenate([start + fractions * (end - start) for start, end in zip(corners, ends, strict=True)])


def _project_rings(rings: Sequence[Floats], sources: Sequence[str], target: str) -> list[Floats]:
    """Project rings to a CRS, all of one source CRS at once."""
    projected: list[Floats] = [*rings]
    for source in {*sources} - {target}:
        indices = [index for index, text in enumerate(sources) if text == source]
        points = _project_points(np.concatenate([rings[index] for index in indices]), source, target)
        if np.isinf(points).all():
            points = np.concatenate([_project_points(rings[index], source, target) for index in indices])
        ends = np.cumsum([len(rings[index]) for index in indices])
        for index, part in zip(indices, np.split(points, ends[:-1]), strict=True):
            projected[index] = part
    return projected


def _project_points(points: Floats, source: str, target: str) -> Floats:
    """Project points, shape (n, 2); all are infinite if GDAL fails at one that has no place in the target CRS."""
    if source == target or not len(points):
        return points
    try:
        x, y = transform(parse_crs(source), parse_crs(target), points[:, 0], points[:, 1])
    except (RasterioError, CPLE_BaseError):
        return np.full_like(points, np.inf)
    return np.column_stack([x, y]).astype(np.float64)


def _is_outside(polygon: Any) -> bool:
    return bool(polygon.is_empty or np.abs(polygon.bounds).max() > 720.0)


def _cut_footprint(polygon: Any, cut_at_antimeridian: Any) -> Any:
    try:
        return cut_at_antimeridian(polygon, repair=True)
    except ValueError:
        return shapely.Polygon()


def _to_equal_area(lonlat: Floats, owner: npt.NDArray[np.int64]) -> Floats:
    """Project degrees to an equal-area cylinder in metres; longitudes are taken the short way from their owner's first.

    `owner` is the ascending number of the polygon that each point belongs to.
    """
    first = lonlat[np.searchsorted(owner, owner), 0]
    longitude = np.radians((lonlat[:, 0] - first + 180.0) % 360.0 - 180.0)
    sine = np.sin(np.radians(lonlat[:, 1]))
    scaled = _ECCENTRICITY * sine
    authalic = (1.0 - _ECCENTRICITY**2) * (sine / (1.0 - scaled**2) + np.arctanh(scaled) / _ECCENTRICITY)
    return np.column_stack([_SEMI_MAJOR_AXIS * longitude, _SEMI_MAJOR_AXIS * authalic / 2.0])
