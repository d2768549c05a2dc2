"""What a STAC item tells of place and time: the outline in its own CRS, and the moment in UTC."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import shapely

_BOX_3D: Final = 6
_AREAL: Final = 2
_HALF: Final = 180.0
_TURN: Final = 360.0
_WHOLE: Final = 359.0
"""Degrees; a side that is longer goes around the world: it belongs to a product of all of it."""


def outline_of(
    properties: Mapping[str, Any], assets: Iterable[Mapping[str, Any]]
) -> tuple[shapely.Geometry, str] | None:
    """The outline and its CRS, from the projection extension of an item or of the first asset that has it; or None.

    Coordinates are x before y, in the units of the CRS (`EPSG:32633`, WKT2 or PROJJSON, as the item has it).

    Raises:
        ValueError, TypeError, IndexError, shapely.errors.ShapelyError: it has the extension, but not as it should be.
    """
    for fields in (properties, *assets):
        outline = projected({**properties, **fields})
        if outline is not None:
            return outline
    return None


def projected(fields: Mapping[str, Any]) -> tuple[shapely.Geometry, str] | None:
    """The outline that fields of the projection extension tell, or None when they tell none. It raises as above."""
    import shapely

    crs = crs_of(fields)
    if crs is None:
        return None
    if fields.get("proj:transform") and fields.get("proj:shape"):
        a, b, c, d, e, f = fields["proj:transform"][:6]
        height, width = fields["proj:shape"]
        corners = [(0, 0), (0, height), (width, height), (width, 0)]
        return shapely.Polygon([(a * col + b * row + c, d * col + e * row + f) for col, row in corners]), crs
    if fields.get("proj:geometry"):
        return shapely.from_geojson(json.dumps(fields["proj:geometry"])), crs
    if fields.get("proj:bbox"):
        box = fields["proj:bbox"]
        return shapely.box(*(box[:2] + box[3:5] if len(box) == _BOX_3D else box)), crs
    return None


def crs_of(fields: Mapping[str, Any]) -> str | None:
    """The CRS that fields of the projection extension name, or None."""
    if fields.get("proj:code"):
        return str(fields["proj:code"])
    if fields.get("proj:epsg"):
        return f"EPSG:{fields['proj:epsg']}"
    if fields.get("proj:wkt2"):
        return str(fields["proj:wkt2"])
    return json.dumps(fields["proj:projjson"]) if fields.get("proj:projjson") else None


def acquired_of(properties: Mapping[str, Any]) -> str | None:
    """The time of acquisition, or its beginning: ISO 8601 in UTC without an offset; None if there is none.

    Raises:
        ValueError, TypeError: it is not in ISO 8601.
    """
    text = properties.get("datetime") or properties.get("start_datetime")
    return None if text is None else in_utc(text)


def in_utc(text: str) -> str:
    """A time in ISO 8601, in UTC and without an offset; one that has no offset is in UTC already.

    Raises:
        ValueError, TypeError: it is not in ISO 8601.
    """
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() if moment.tzinfo else moment.isoformat()


def footprint_of(outline: shapely.Geometry, box: list[float] | None = None) -> shapely.Geometry | None:
    """Where an outline in longitude/latitude has an area: a Polygon or MultiPolygon between -180 and 180 degrees.

    What crosses the antimeridian is split there (RFC 7946, 3.1.9): it is recognised by a `box` whose west is east of
    its east, by longitudes past 180, or by a side that is longer than half a turn and shorter than a whole one. None if
    it has no area.
    """
    import shapely

    outline = shapely.force_2d(outline)
    if _is_wrapped(outline, box):
        outline = shapely.transform(outline, lambda places: places + (places[:, :1] < 0) * [360.0, 0.0])
    if not shapely.is_valid(outline):
        outline = shapely.make_valid(outline)
    west, _, east, _ = shapely.bounds(outline)
    if west < -_HALF or east > _HALF:
        outline = shapely.union_all([_turned(outline, turn) for turn in (-1, 0, 1)])
    parts = shapely.get_parts(shapely.get_parts(outline))
    areas = parts[shapely.get_dimensions(parts) == _AREAL] if outline.geom_type == "GeometryCollection" else None
    if areas is not None:
        outline = shapely.union_all(areas)
    return outline if outline.geom_type in {"Polygon", "MultiPolygon"} and not outline.is_empty else None


def _is_wrapped(outline: shapely.Geometry, box: list[float] | None) -> bool:
    """Whether a polygon jumps from one side of the antimeridian to the other."""
    import numpy as np
    import shapely

    if outline.geom_type != "Polygon":
        return False
    if box and box[0] > box[len(box) // 2]:
        return True
    longest = float(np.abs(np.diff(shapely.get_coordinates(outline)[:, 0])).max(initial=0.0))
    return _HALF < longest < _WHOLE


def _turned(outline: shapely.Geometry, turn: int) -> shapely.Geometry:
    """The part of an outline that lies in the world number `turn` to the east, moved into this one."""
    import shapely

    offset = turn * _TURN
    part = shapely.intersection(outline, shapely.box(offset - _HALF, -90.0, offset + _HALF, 90.0))
    return shapely.transform(part, lambda places: places - [offset, 0.0])
