"""STAC items as catalogue rows: id, outline in the item's own CRS, acquisition time and scalar properties."""

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.algorithms.antimeridian import bbox_crosses_antimeridian, unwrap_longitudes
from geographer.archives.stac_items import read_acquisition_time, read_outline
from geographer.base.errors import UsageError
from geographer.planning.user_columns import make_user_columns
from geographer.storage.events.payload import Columns

if TYPE_CHECKING:
    import shapely

_SUFFIXES: Final = (".json", ".geojson")
_LONLAT: Final = "EPSG:4326"


def read_stac_items(data: Any) -> list[Mapping[str, Any]] | None:
    """Return the STAC items of a JSON file (an Item or an ItemCollection), or None for any other data."""
    if not isinstance(data, str | Path) or Path(data).suffix.lower() not in _SUFFIXES or not Path(data).is_file():
        return None
    try:
        content = json.loads(Path(data).read_text(encoding="utf-8"))
    except ValueError:
        return None
    items = content.get("features", [content]) if isinstance(content, dict) else []
    return items if items and all(isinstance(item, dict) and "stac_version" in item for item in items) else None


def make_stac_columns(items: list[Mapping[str, Any]]) -> tuple[dict[str, list[Any]], Columns]:
    """Return columns of catalogue rows, acquired in ISO 8601 (UTC), and the user columns of the items with their types.

    User columns are the scalar properties, without those of the projection extension. A name that would hide a built-in
    column gets an underscore. Raise `UsageError` if an item's projection or time is invalid.
    """
    import shapely

    types, properties = make_user_columns([_select_scalar_properties(item) for item in items])
    outlines = [_read_item_outline(item) for item in items]
    columns = {
        "raster_id": [None if item.get("id") is None else str(item["id"]) for item in items],
        "outline": [shapely.to_wkb(outline, output_dimension=2) for outline, _ in outlines],
        "crs": [crs for _, crs in outlines],
        "acquired": [_read_item_time(item) for item in items],
        "properties": properties,
    }
    return columns, types


def _select_scalar_properties(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        name: str(value) if isinstance(value, float) and not isfinite(value) else value
        for name, value in (item.get("properties") or {}).items()
        if isinstance(value, str | int | float) and not name.startswith("proj:")
    }


def _read_item_time(item: Mapping[str, Any]) -> str | None:
    properties = item.get("properties") or {}
    try:
        return read_acquisition_time(properties)
    except (ValueError, TypeError) as error:
        text = properties.get("datetime") or properties.get("start_datetime")
        item_id = item.get("id")
        raise UsageError(f"STAC item '{item_id}' has the invalid time {text!r}. Correct it to ISO 8601.") from error


def _read_item_outline(item: Mapping[str, Any]) -> "tuple[shapely.Geometry | None, str]":
    """Return an item's outline and CRS: exact if the item or an asset has the projection extension."""
    import shapely

    try:
        outline = read_outline(item.get("properties") or {}, (item.get("assets") or {}).values())
        if outline is not None:
            return outline
        if not item.get("geometry"):
            return None, _LONLAT
        geometry = shapely.from_geojson(json.dumps(item["geometry"]))
        if geometry.geom_type == "Polygon" and bbox_crosses_antimeridian(item.get("bbox")):
            geometry = unwrap_longitudes(geometry)
        return geometry, _LONLAT
    except (ValueError, TypeError, IndexError, shapely.errors.ShapelyError) as error:
        raise UsageError(f"STAC item '{item.get('id')}' has an invalid geometry or projection: {error}") from error
