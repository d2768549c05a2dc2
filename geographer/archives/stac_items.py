"""STAC items: outline in the item's own CRS, footprint in longitude/latitude, and acquisition time in UTC."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from geographer.algorithms.antimeridian import (
    bbox_crosses_antimeridian,
    has_longitude_jump,
    split_at_antimeridian,
    unwrap_longitudes,
)
from geographer.base.timestamps import parse_utc

if TYPE_CHECKING:
    import shapely

_BBOX_3D_LENGTH: Final = 6
_AREAL: Final = 2


def read_outline(
    properties: Mapping[str, Any], assets: Iterable[Mapping[str, Any]]
) -> tuple[shapely.Geometry, str] | None:
    """Return the outline and its CRS from the projection extension of an item, or of the first asset that has it.

    Coordinates are x before y, in units of the CRS (`EPSG:32633`, WKT2 or PROJJSON, as in the item). None without the
    extension.

    Raises:
        ValueError, TypeError, IndexError, shapely.errors.ShapelyError: the extension's fields are malformed.
    """
    for fields in (properties, *assets):
        outline = _read_projection_outline({**properties, **fields})
        if outline is not None:
            return outline
    return None


def _read_projection_outline(fields: Mapping[str, Any]) -> tuple[shapely.Geometry, str] | None:
    import shapely

    crs = _read_projection_crs(fields)
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
        bbox = fields["proj:bbox"]
        return shapely.box(*(bbox[:2] + bbox[3:5] if len(bbox) == _BBOX_3D_LENGTH else bbox)), crs
    return None


def _read_projection_crs(fields: Mapping[str, Any]) -> str | None:
    for name, prefix in (("proj:code", ""), ("proj:epsg", "EPSG:"), ("proj:wkt2", "")):
        if fields.get(name):
            return f"{prefix}{fields[name]}"
    return json.dumps(fields["proj:projjson"]) if fields.get("proj:projjson") else None


def read_acquisition_time(properties: Mapping[str, Any]) -> str | None:
    """Return `datetime`, or else `start_datetime`: ISO 8601 in UTC without an offset; None if both are missing.

    Raises:
        ValueError, TypeError: the value is not ISO 8601.
    """
    text = properties.get("datetime") or properties.get("start_datetime")
    return None if text is None else to_utc_iso(text)


def to_utc_iso(text: str) -> str:
    """Return an ISO 8601 time in UTC without an offset; a time without an offset is taken as UTC.

    Raises:
        ValueError, TypeError: it is not ISO 8601.
    """
    utc_time = parse_utc(text)
    if utc_time is None:
        raise TypeError("a time is required")
    return utc_time.isoformat()


def normalise_footprint(outline: shapely.Geometry, bbox: list[float] | None = None) -> shapely.Geometry | None:
    """Return the area of a longitude/latitude outline as a valid Polygon or MultiPolygon between -180 and 180 degrees.

    An outline across the antimeridian is split there (RFC 7946, 3.1.9). It is recognised by a `bbox` whose west is east
    of its east, by longitudes beyond 180, or by a side longer than half a turn and shorter than a whole one. None if
    the outline has no area.
    """
    import shapely

    outline = shapely.force_2d(outline)
    if outline.geom_type == "Polygon" and (bbox_crosses_antimeridian(bbox) or has_longitude_jump(outline)):
        outline = unwrap_longitudes(outline)
    if not shapely.is_valid(outline):
        outline = shapely.make_valid(outline)
    outline = split_at_antimeridian(outline)
    if outline.geom_type == "GeometryCollection":
        parts = shapely.get_parts(shapely.get_parts(outline))
        outline = shapely.union_all(parts[shapely.get_dimensions(parts) == _AREAL])
    return outline if outline.geom_type in {"Polygon", "MultiPolygon"} and not outline.is_empty else None
