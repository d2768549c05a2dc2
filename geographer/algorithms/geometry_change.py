"""Geometry change: how much a geometry differs from another, in metres on the WGS84 ellipsoid."""

from typing import Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

Geometries = NDArray[np.object_]
Floats = NDArray[np.float64]

_SEMI_MAJOR_AXIS_M: Final = 6_378_137.0
_FLATTENING: Final = 1 / 298.257_223_563
_E2: Final = _FLATTENING * (2 - _FLATTENING)
_MERIDIAN_SERIES: Final = (
    1 - _E2 / 4 - 3 * _E2**2 / 64 - 5 * _E2**3 / 256,
    3 * _E2 / 8 + 3 * _E2**2 / 32 + 45 * _E2**3 / 1024,
    15 * _E2**2 / 256 + 45 * _E2**3 / 1024,
    35 * _E2**3 / 3072,
)
"""Coefficients of the length of a meridian arc; Snyder, Map Projections (1987), equation 3-21."""


class GeometryChanges(NamedTuple):
    """Measures of n pairs of geometries, shape (n,) each, float64; NaN where a measure has no meaning.

    Attributes:
        iou: The area of the intersection divided by that of the union, 0 to 1; NaN unless both have an area.
        aligned_iou: The same after moving the centroid of the new geometry to that of the old one.
        old_area: The area of the old geometry in m²; 0 for lines and points.
        new_area: The area of the new geometry in m².
        hausdorff: The Hausdorff distance in metres between the vertices of each and the other geometry.
        shift_east: The shift of the centroid in metres to the east.
        shift_north: The shift of the centroid in metres to the north.
        center_lon: The longitude of the centroid of the old geometry in degrees.
        center_lat: The latitude of the same.
        old_parts: The number of parts of the old geometry.
        new_parts: The number of parts of the new geometry.
    """

    iou: Floats
    aligned_iou: Floats
    old_area: Floats
    new_area: Floats
    hausdorff: Floats
    shift_east: Floats
    shift_north: Floats
    center_lon: Floats
    center_lat: Floats
    old_parts: Floats
    new_parts: Floats

    @property
    def shift_distance(self) -> Floats:
        """The shift of the centroid in metres."""
        return np.hypot(self.shift_east, self.shift_north)

    @property
    def area_ratio(self) -> Floats:
        """The new area divided by the old one; NaN unless both have an area."""
        has_areas = (self.old_area > 0) & (self.new_area > 0)
        return np.where(has_areas, self.new_area / np.where(has_areas, self.old_area, 1.0), np.nan)


def measure_geometry_changes(old: Geometries, new: Geometries, tolerance: float = 0.0) -> GeometryChanges:
    """Measure how each new geometry differs from the old one.

    Each pair is projected sinusoidally, which preserves areas, with the central meridian through the centroid of the
    old geometry; distances are true near it, which holds for objects of up to some hundred kilometres.

    Args:
        old: Geometries in longitude/latitude (EPSG:4326), shape (n,), split at the antimeridian.
        new: As `old`.
        tolerance: Overlaps, which take most of the time, are not computed where they differ less than this: `iou` is
            NaN where areas do, by their logarithm, and `aligned_iou` is 1 where outlines do, as a share of the area.
    """
    old, new = _join_at_antimeridian(old, new)
    origins = shapely.get_coordinates(shapely.centroid(old))
    old, new = (_make_valid(_project_locally(side, origins)) for side in (old, new))
    old_area, new_area = shapely.area(old), shapely.area(new)
    shifts = shapely.get_coordinates(shapely.centroid(new)) - shapely.get_coordinates(shapely.centroid(old))
    has_areas = (old_area > 0) & (new_area > 0)
    is_resized, is_alike = has_areas, np.zeros(len(old), bool)
    aligned = _shift_geometries(new, -shifts)
    if tolerance:
        ratios = np.divide(new_area, old_area, out=np.ones(len(old)), where=has_areas)
        is_resized = has_areas & (np.abs(np.log(ratios)) > tolerance)
        is_alike = has_areas & _find_alike_outlines(old, aligned, tolerance * old_area)
    aligned_iou = _compute_iou(old, aligned, old_area + new_area, has_areas & ~is_alike)
    return GeometryChanges(
        iou=_compute_iou(old, new, old_area + new_area, is_resized),
        aligned_iou=np.where(is_alike, 1.0, aligned_iou),
        old_area=old_area,
        new_area=new_area,
        hausdorff=shapely.hausdorff_distance(old, new),
        shift_east=shifts[:, 0],
        shift_north=shifts[:, 1],
        center_lon=origins[:, 0],
        center_lat=origins[:, 1],
        old_parts=shapely.get_num_geometries(old).astype(np.float64),
        new_parts=shapely.get_num_geometries(new).astype(np.float64),
    )


def measure_shift_deviations(changes: GeometryChanges, neighbours: int = 16, supporters: int = 3) -> Floats:
    """Return by how much the shift of each geometry differs from those of its neighbours, in metres; shape (n,).

    It is the distance to the shift of the `supporters`-th most similar of the nearest `neighbours`. So a shift is not
    unusual if a few neighbours share it, also where regions of different shifts meet.
    """
    from scipy.spatial import cKDTree

    count = len(changes.center_lon)
    if count <= supporters:
        return changes.shift_distance
    scale = np.cos(np.radians(changes.center_lat))
    tree = cKDTree(np.column_stack([changes.center_lon * scale, changes.center_lat]))
    _, nearest = tree.query(tree.data, k=min(neighbours + 1, count))
    shifts = np.column_stack([changes.shift_east, changes.shift_north])
    gaps = np.linalg.norm(shifts[nearest] - shifts[:, None], axis=2)
    # A geometry is a neighbour of itself, at a distance of 0.
    deviations: Floats = np.partition(gaps, supporters, axis=1)[:, supporters]
    return deviations


def _join_at_antimeridian(old: Geometries, new: Geometries) -> tuple[Geometries, Geometries]:
    """Return the geometries with longitudes from 0 to 360 where a pair lies on both sides of the antimeridian."""
    bounds = np.concatenate([shapely.bounds(old), shapely.bounds(new)], axis=1)
    is_wide = np.maximum(bounds[:, 2], bounds[:, 6]) - np.minimum(bounds[:, 0], bounds[:, 4]) > 180
    if not is_wide.any():
        return old, new
    sides = []
    for side in (old, new):
        joined = side.copy()
        wrapped = shapely.transform(side[is_wide], lambda xy: np.column_stack([xy[:, 0] % 360.0, xy[:, 1]]))
        joined[is_wide] = shapely.union_all(wrapped.reshape(-1, 1), axis=1)
        sides.append(joined)
    return sides[0], sides[1]


def _project_locally(geometries: Geometries, origins: Floats) -> Geometries:
    coordinates, index = shapely.get_coordinates(geometries, return_index=True)
    lon, lat = np.radians(coordinates[:, 0] - origins[index, 0]), np.radians(coordinates[:, 1])
    radius = _SEMI_MAJOR_AXIS_M / np.sqrt(1 - _E2 * np.sin(lat) ** 2)
    north = _compute_meridian_arc(lat) - _compute_meridian_arc(np.radians(origins[index, 1]))
    projected: Geometries = shapely.set_coordinates(
        shapely.force_2d(geometries), np.column_stack([radius * np.cos(lat) * lon, north])
    )
    return projected


def _compute_meridian_arc(lat: Floats) -> Floats:
    """Return the length in metres of the meridian from the equator to a latitude in radians."""
    a, b, c, d = _MERIDIAN_SERIES
    return _SEMI_MAJOR_AXIS_M * (a * lat - b * np.sin(2 * lat) + c * np.sin(4 * lat) - d * np.sin(6 * lat))


def _make_valid(geometries: Geometries) -> Geometries:
    is_invalid = ~shapely.is_valid(geometries)
    if is_invalid.any():
        geometries[is_invalid] = shapely.make_valid(geometries[is_invalid])
    return geometries


def _shift_geometries(geometries: Geometries, shifts: Floats) -> Geometries:
    coordinates, index = shapely.get_coordinates(geometries, return_index=True)
    translated: Geometries = shapely.set_coordinates(geometries.copy(), coordinates + shifts[index])
    return translated


def _find_alike_outlines(old: Geometries, new: Geometries, areas: Floats) -> NDArray[np.bool_]:
    """Return which pairs are polygons of as many vertices whose moves sweep less than some areas; shape (n,).

    An edge whose ends move by at most d sweeps at most d times its length and 2 d; what one polygon covers and the
    other does not lies in what the edges sweep.
    """
    counts = shapely.get_num_coordinates(old)
    is_paired = (counts == shapely.get_num_coordinates(new)) & (counts > 0)
    for side in (old, new):
        is_paired &= (shapely.get_type_id(side) == shapely.GeometryType.POLYGON) & (
            shapely.get_num_interior_rings(side) == 0
        )
    is_alike = np.zeros(len(old), bool)
    if not is_paired.any():
        return is_alike
    gaps = shapely.get_coordinates(new[is_paired]) - shapely.get_coordinates(old[is_paired])
    starts = np.concatenate([[0], np.cumsum(counts[is_paired])[:-1]])
    moves = np.maximum.reduceat(np.hypot(gaps[:, 0], gaps[:, 1]), starts)
    swept = moves * (shapely.length(old[is_paired]) + 2 * moves * counts[is_paired])
    is_alike[is_paired] = swept < areas[is_paired]
    return is_alike


def _compute_iou(old: Geometries, new: Geometries, areas: Floats, is_wanted: NDArray[np.bool_]) -> Floats:
    """Return the area of the intersection divided by that of the union, where wanted, else NaN; shape (n,).

    `areas` are the sums of both areas.
    """
    iou = np.full(len(old), np.nan)
    shared = shapely.area(shapely.intersection(old[is_wanted], new[is_wanted]))
    iou[is_wanted] = shared / (areas[is_wanted] - shared)
    clipped: Floats = np.clip(iou, 0.0, 1.0)
    return clipped
