"""Geometries in longitude/latitude that cross the antimeridian: detect them, and cut them at 180 degrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import shapely
    from numpy.typing import NDArray

_SCENE_HEIGHT: Final = 45.0
"""A ring of a smaller height, in degrees, is read as a scene, however narrow it is."""
_MIN_ASPECT_RATIO: Final = 1 / 20
"""A higher ring is read as crossing the antimeridian if its width there is at least this part of its height."""


def bbox_crosses_antimeridian(bbox: Sequence[float] | None) -> bool:
    """Return whether the west side of a bounding box (RFC 7946, 4 or 6 numbers) is east of its east side."""
    return bbox is not None and len(bbox) > 0 and bbox[0] > bbox[len(bbox) // 2]


def has_longitude_jump(geometry: shapely.Geometry) -> bool:
    """Return whether a side jumps from one end of the longitudes to the other, as where it crosses the antimeridian.

    A side longer than 180 degrees jumps: it is read the short way. It does not jump if the short way leaves nothing (a
    ring around the globe), or a strip over 45 degrees high and less than a twentieth of that wide.
    """
    import shapely

    west, _, east, _ = map(float, shapely.bounds(geometry))
    if not east - west > 180.0:  # The difference of infinite coordinates is NaN.
        return False
    parts = shapely.get_parts(geometry)
    if len(parts) > 1:
        return any(map(has_longitude_jump, parts))
    return any(_unwrap_jumps(coords) is not coords for part in parts for coords in _list_line_coords(part))


def cut_at_antimeridian(
    geometry: shapely.Geometry, bbox: Sequence[float] | None = None, *, repair: bool = False
) -> shapely.Geometry:
    """Cut a geometry that crosses the antimeridian into parts between -180 and 180 degrees (RFC 7946, 3.1.9).

    A geometry crosses if `has_longitude_jump`, if its longitudes pass 180, or if its `bbox` does and agrees with it. A
    ring around a pole is extended to the pole of its mean latitude. Others are returned as they are. Sides are straight
    lines in longitude/latitude.

    Args:
        geometry: Geometry of any type in degrees; heights are dropped where it is cut.
        bbox: Bounding box of RFC 7946, 4 or 6 numbers in degrees, or None.
        repair: Make rings valid that intersect themselves.

    Raises:
        ValueError: A ring that crosses the antimeridian intersects itself, and `repair` is false.
    """
    import shapely

    parts = shapely.get_parts(geometry)
    cut_parts = [_cut_part(part, bbox, repair) for part in parts]
    if all(cut_part is part for cut_part, part in zip(cut_parts, parts, strict=True)):
        return geometry
    return cut_parts[0] if len(parts) == 1 else _collect_parts(cut_parts)


def split_at_antimeridian(geometry: shapely.Geometry) -> shapely.Geometry:
    """Split a valid geometry without jumps, but with longitudes beyond 180, into parts between -180 and 180 degrees."""
    import math

    import shapely

    west, _, east, _ = shapely.bounds(geometry)
    if not (west < -180.0 or east > 180.0):
        return geometry
    turns = range(math.floor((west + 180.0) / 360.0), math.ceil((east + 180.0) / 360.0))
    parts = [_clip_to_turn(geometry, 360.0 * turn) for turn in turns]
    if shapely.get_dimensions(geometry) == 2:
        return shapely.union_all(parts)
    return _collect_parts(parts)


def _clip_to_turn(geometry: shapely.Geometry, offset: float) -> shapely.Geometry:
    """Return the part with longitudes from `offset` - 180 to `offset` + 180, shifted to -180 to 180."""
    import shapely

    if shapely.get_dimensions(geometry) == 1:
        # An intersection would cut lines where they cross themselves.
        part = shapely.clip_by_rect(geometry, offset - 180.0, -1e9, offset + 180.0, 1e9)
    else:
        part = shapely.intersection(geometry, shapely.box(offset - 180.0, -1e9, offset + 180.0, 1e9))
    return shapely.transform(part, lambda points: points - [offset, 0.0])


def _cut_part(part: shapely.Geometry, bbox: Sequence[float] | None, repair: bool) -> shapely.Geometry:
    import shapely

    if shapely.get_num_geometries(part) > 1:
        return cut_at_antimeridian(part, bbox, repair=repair)
    if bbox is not None and bbox_crosses_antimeridian(bbox) and _agrees_with_bbox(part, bbox):
        part = shapely.transform(part, lambda points: points + (points[:, :1] < 0) * [360.0, 0.0])
    elif has_longitude_jump(part):
        return _cut_jumps(part, repair)
    west, _, east, _ = shapely.bounds(part)
    return split_at_antimeridian(_require_valid(part, repair)) if west < -180.0 or east > 180.0 else part


def _agrees_with_bbox(part: shapely.Geometry, bbox: Sequence[float]) -> bool:
    """Return whether there are vertices on both sides of the antimeridian, and none between the box's east and west."""
    import numpy as np
    import shapely

    lons, west, east = shapely.get_coordinates(part)[:, 0], bbox[0] - 1e-6, bbox[len(bbox) // 2] + 1e-6
    is_inside = (lons >= west) | (lons <= east)
    return bool(is_inside.all() and (lons < 0).any() and (lons > 0).any() and np.abs(lons).max() <= 180.0)


def _cut_jumps(part: shapely.Geometry, repair: bool) -> shapely.Geometry:
    import shapely

    if shapely.get_dimensions(part) == 1:
        return split_at_antimeridian(shapely.linestrings(_unwrap_jumps(shapely.get_coordinates(part))))
    shell, *holes = (_cut_ring(coords, repair) for coords in _list_line_coords(part))
    return shapely.difference(shell, shapely.union_all(holes)) if holes else shell


def _cut_ring(coords: NDArray[np.float64], repair: bool) -> shapely.Geometry:
    """Return the area inside a ring; one around a pole is closed along the pole's parallel."""
    import numpy as np
    import shapely

    ring = _unwrap_jumps(coords)
    first, last = ring[0, 0], ring[-1, 0]
    if first != last:
        pole = np.copysign(90.0, ring[:, 1].mean())
        ring = np.vstack([ring, [[last, pole], [first, pole]]])
    return split_at_antimeridian(_require_valid(shapely.polygons(ring), repair))


def _unwrap_jumps(coords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coordinates with multiples of 360 added after each jump, or the argument itself if nothing jumps."""
    import numpy as np

    steps = np.diff(coords[:, 0])
    turns = np.where(np.abs(steps) > 180.0, np.sign(steps), 0.0)
    if not turns.any():
        return coords
    unwrapped = coords - np.column_stack([360.0 * np.concatenate([[0.0], turns.cumsum()]), np.zeros(len(coords))])
    width, height = np.ptp(unwrapped, axis=0)
    is_scene = width > 0 and (height < _SCENE_HEIGHT or width > height * _MIN_ASPECT_RATIO)
    encloses_pole = bool((coords[0] == coords[-1]).all()) and turns.sum() != 0
    return unwrapped if is_scene and not (encloses_pole and np.abs(steps).max() >= 359.0) else coords


def _list_line_coords(part: shapely.Geometry) -> list[NDArray[np.float64]]:
    """Return the coordinates, shape (n, 2), of a line, or of each ring of a polygon."""
    import shapely

    lines = shapely.get_rings(part) if shapely.get_dimensions(part) == 2 else [part]
    return [shapely.get_coordinates(line) for line in lines]


def _require_valid(geometry: shapely.Geometry, repair: bool) -> shapely.Geometry:
    import shapely

    if shapely.is_valid(geometry):
        return geometry
    if not repair:
        raise ValueError(f"the geometry crosses the antimeridian and is invalid: {shapely.is_valid_reason(geometry)}")
    repaired = shapely.make_valid(geometry)
    return repaired if repaired.geom_type != "GeometryCollection" else _select_areas(repaired)


def _select_areas(collection: shapely.Geometry) -> shapely.Geometry:
    import shapely

    parts = shapely.get_parts(shapely.get_parts(collection))
    return shapely.union_all(parts[shapely.get_dimensions(parts) == 2])


def _collect_parts(geometries: list[shapely.Geometry]) -> shapely.Geometry:
    """Return the parts of geometries as one geometry: of one type if they have the same dimension."""
    import shapely

    parts: list[shapely.Geometry] = [
        part for geometry in geometries for part in shapely.get_parts(geometry) if not shapely.is_empty(part)
    ]
    if len(parts) == 1:
        return parts[0]
    constructors = (shapely.multipoints, shapely.multilinestrings, shapely.multipolygons)
    dimensions = {int(shapely.get_dimensions(part)) for part in parts}
    if len(dimensions) == 1:
        return constructors[dimensions.pop()](parts)
    return shapely.geometrycollections(parts)
