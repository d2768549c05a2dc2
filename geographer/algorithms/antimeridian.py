"""Geometries in longitude/latitude that cross the antimeridian: detect, unwrap beyond 180 degrees, and split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import shapely


def bbox_crosses_antimeridian(bbox: Sequence[float] | None) -> bool:
    """Return whether the west side of a bounding box (RFC 7946, 4 or 6 numbers) is east of its east side."""
    return bbox is not None and len(bbox) > 0 and bbox[0] > bbox[len(bbox) // 2]


def has_longitude_jump(geometry: shapely.Geometry) -> bool:
    """Return whether a side is longer than 180 degrees of longitude, but does not span the globe (359 degrees)."""
    import numpy as np
    import shapely

    longitudes = shapely.get_coordinates(geometry)[:, 0]
    return bool(180.0 < np.abs(np.diff(longitudes)).max(initial=0.0) < 359.0)


def unwrap_longitudes(geometry: shapely.Geometry) -> shapely.Geometry:
    """Add 360 to negative longitudes, so that a geometry across the antimeridian is in one piece, from 0 to 360."""
    import shapely

    return shapely.transform(geometry, lambda points: points + (points[:, :1] < 0) * [360.0, 0.0])


def split_at_antimeridian(geometry: shapely.Geometry) -> shapely.Geometry:
    """Split a geometry with longitudes between -540 and 540 into parts between -180 and 180 (RFC 7946, 3.1.9)."""
    import shapely

    def clip_to_turn(offset: float) -> shapely.Geometry:
        part = shapely.intersection(geometry, shapely.box(offset - 180.0, -90.0, offset + 180.0, 90.0))
        return shapely.transform(part, lambda points: points - [offset, 0.0])

    west, _, east, _ = shapely.bounds(geometry)
    if west >= -180.0 and east <= 180.0:
        return geometry
    return shapely.union_all([clip_to_turn(offset) for offset in (-360.0, 0.0, 360.0)])
