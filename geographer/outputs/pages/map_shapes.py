"""Map shapes: geometries in longitude/latitude as packed coordinates of a map in the Mercator projection.

The sphere of the projection has the radius 6,378,137 m, as in EPSG:3857. Coordinates are relative to the middle of the
map, so that whole numbers are small; a map that crosses the antimeridian is continuous.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

Mark = Literal["area", "line", "point"]
MARKS: Final[tuple[Mark, ...]] = ("area", "line", "point")

EARTH_RADIUS_M: Final = 6_378_137.0
MAX_LATITUDE: Final = 89.5
"""Latitudes beyond this, which Mercator's projection cannot show, are drawn here."""
MAX_VERTICES: Final = 400_000
"""Outlines with more vertices in all are simplified."""
_FINEST_UNIT_M: Final = 0.01
_MAX_COORDINATE: Final = 2**31 - 1
_PIXELS_ACROSS: Final = 4_000
_ROUNDS: Final = 16
_SIMPLE_TYPES: Final[dict[int, Mark]] = {0: "point", 1: "line", 2: "line", 3: "area"}
"""The mark of each type of geometry in the numbers of shapely, once collections are taken apart."""


class MapFrame(NamedTuple):
    """Where a map is.

    Attributes:
        west: The longitude at which the map begins, in degrees: what lies west of it is drawn 360° farther east.
        x: The x coordinate of the middle in metres on the equator; those of shapes are relative to it.
        y: The y coordinate alike.
        unit: The unit of packed coordinates in metres.
        bounds: xmin, ymin, xmax, ymax of all shapes, relative to the middle, in metres.
    """

    west: float
    x: float
    y: float
    unit: float
    bounds: tuple[float, float, float, float]


class PackedShapes(NamedTuple):
    """Shapes of one mark, ready for JSON.

    Attributes:
        mark: `area`, `line` or `point`.
        places: For each shape, the number of the place that it shows.
        rings: For each shape, the number of its rings (of lines, of points).
        lengths: For each ring, the number of its vertices.
        xy: The vertices, x and y by turns, as little-endian 32-bit integers in base64.
    """

    mark: Mark
    places: list[int]
    rings: list[int]
    lengths: list[int]
    xy: str


def project_lonlat(coordinates: NDArray[np.float64], west: float = -180.0) -> NDArray[np.float64]:
    """Return Mercator coordinates (x, y) in metres of an array of longitudes and latitudes in degrees, n by 2."""
    longitudes = np.where(coordinates[:, 0] < west, coordinates[:, 0] + 360.0, coordinates[:, 0])
    latitudes = np.clip(coordinates[:, 1], -MAX_LATITUDE, MAX_LATITUDE)
    return EARTH_RADIUS_M * np.column_stack((np.radians(longitudes), np.arcsinh(np.tan(np.radians(latitudes)))))


def list_longitude_ranges(geometries: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the largest longitudes of the points, lines and polygons that geometries consist of."""
    bounds = shapely.bounds(_split_collections(geometries)[0])
    return bounds[:, 0], bounds[:, 2]


def find_west_of_ranges(starts: NDArray[np.float64], ends: NDArray[np.float64]) -> float:
    """Return the longitude at which a map of ranges of longitudes, in degrees, should begin.

    That is the end of their largest gap; -180 if that contains the antimeridian.
    """
    known = np.isfinite(starts) & np.isfinite(ends)
    if not known.any():
        return -180.0
    order = np.argsort(starts[known], kind="stable")
    starts, reached = starts[known][order], np.maximum.accumulate(ends[known][order])
    gaps = starts[1:] - reached[:-1]
    outer = starts[0] + 360.0 - reached[-1]
    if not len(gaps) or gaps.max() <= outer:
        return -180.0
    return float(starts[int(np.argmax(gaps)) + 1])


def make_frame(boxes: NDArray[np.float64], west: float) -> MapFrame:
    """Return the frame of a map of projected boxes (xmin, ymin, xmax, ymax in metres), n by 4; NaN are left out."""
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    if not len(boxes):
        return MapFrame(west, 0.0, 0.0, _FINEST_UNIT_M, (-1000.0, -1000.0, 1000.0, 1000.0))
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    middle, half = np.round((low + high) / 2), (high - low) / 2
    unit = _FINEST_UNIT_M
    while (half.max() + 1) / unit > _MAX_COORDINATE:
        unit *= 10
    xmin, ymin, xmax, ymax = (float(value) for value in np.round(np.concatenate((low - middle, high - middle)), 2))
    return MapFrame(west, float(middle[0]), float(middle[1]), unit, (xmin, ymin, xmax, ymax))


def project_geometries(geometries: NDArray[np.object_], west: float) -> NDArray[np.object_]:
    """Return geometries in Mercator coordinates; missing ones stay missing."""
    project: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda values: project_lonlat(values, west)  # noqa: E731
    projected: NDArray[np.object_] = shapely.transform(geometries, project)
    return projected


def simplify_outlines(
    groups: Sequence[NDArray[np.object_]], max_vertices: int = MAX_VERTICES
) -> tuple[list[NDArray[np.object_]], float]:
    """Return projected geometries with at most about `max_vertices` vertices in all, and the tolerance in metres.

    The tolerance is 0 if nothing was simplified. It begins with the size of a pixel of a large screen that shows all,
    and is doubled as often as needed.
    """
    if _count_vertices(groups) <= max_vertices:
        return [*groups], 0.0
    bounds = np.concatenate([shapely.bounds(group) for group in groups])
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    extent = float((bounds[:, 2:].max(axis=0) - bounds[:, :2].min(axis=0)).max())
    simplified, tolerance = [*groups], max(extent / _PIXELS_ACROSS, _FINEST_UNIT_M)
    for _ in range(_ROUNDS):
        simplified = [shapely.simplify(group, tolerance) for group in simplified]
        if _count_vertices(simplified) <= max_vertices:
            break
        tolerance *= 2
    return simplified, tolerance


def pack_shapes(geometries: NDArray[np.object_], places: NDArray[np.int64], frame: MapFrame) -> list[PackedShapes]:
    """Return projected geometries as packed shapes, those of areas first.

    Args:
        geometries: Projected geometries of any type; empty and missing ones have no shape.
        places: The number of the place that each geometry shows.
        frame: Where the map is.
    """
    parts, owners = _split_collections(geometries)
    types = shapely.get_type_id(parts)
    packed = []
    for mark in MARKS:
        chosen = np.isin(types, [number for number, name in _SIMPLE_TYPES.items() if name == mark])
        if chosen.any():
            packed.append(_pack_mark(mark, parts[chosen], owners[chosen], places, frame))
    return packed


def to_json(shapes: Iterable[PackedShapes]) -> list[dict[str, Any]]:
    """Return packed shapes as JSON objects."""
    return [item._asdict() for item in shapes]


def _count_vertices(groups: Sequence[NDArray[np.object_]]) -> int:
    return int(sum(shapely.get_num_coordinates(group).sum() for group in groups))


def _split_collections(geometries: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Return points, lines and polygons of geometries, and the index of the geometry that each belongs to."""
    owners = np.arange(len(geometries))
    keep = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    parts, owners = geometries[keep], owners[keep]
    while len(parts) and (shapely.get_type_id(parts) > max(_SIMPLE_TYPES)).any():
        parts, indices = shapely.get_parts(parts, return_index=True)
        owners = owners[indices]
    keep = ~shapely.is_empty(parts)
    return parts[keep], owners[keep]


def _pack_mark(
    mark: Mark, parts: NDArray[np.object_], owners: NDArray[np.int64], places: NDArray[np.int64], frame: MapFrame
) -> PackedShapes:
    if mark == "area":
        parts, indices = shapely.get_rings(parts, return_index=True)
        owners = owners[indices]
    xy, ring_of_vertex = shapely.get_coordinates(parts, return_index=True)
    if mark == "point":
        # All points of a geometry are one ring: many points would otherwise have a length each.
        _, ring_of_vertex = np.unique(owners, return_inverse=True)
        owners = np.unique(owners)
    shown, rings = np.unique(owners, return_counts=True)
    numbers = np.rint((xy - (frame.x, frame.y)) / frame.unit).astype("<i4")
    return PackedShapes(
        mark,
        places[shown].tolist(),
        rings.tolist(),
        np.bincount(ring_of_vertex, minlength=len(owners)).tolist(),
        base64.b64encode(numbers.tobytes()).decode(),
    )
