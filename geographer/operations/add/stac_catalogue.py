"""STAC items as catalogue rows: id, outline in the item's own CRS, acquisition time and scalar properties."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.algorithms.antimeridian import bbox_crosses_antimeridian, unwrap_longitudes
from geographer.archives.stac_items import read_acquisition_time, read_outline
from geographer.base.errors import UsageError
from geographer.planning.user_columns import RESERVED_COLUMNS, deduplicate_column_names, infer_column_type

if TYPE_CHECKING:
    import shapely

_SUFFIXES: Final = (".json", ".geojson")
_LONLAT: Final = "EPSG:4326"


def read_stac_items(data: Any) -> list[dict[str, Any]] | None:
    """Return the STAC items of a JSON file (an Item or an ItemCollection), or None for any other data."""
    if not isinstance(data, str | Path) or Path(data).suffix.lower() not in _SUFFIXES or not Path(data).is_file():
        return None
    try:
        content = json.loads(Path(data).read_text(encoding="utf-8"))
    except ValueError:
        return None
    items = content.get("features", [content]) if isinstance(content, dict) else []
    return items if items and all(isinstance(item, dict) and "stac_version" in item for item in items) else None


def make_stac_columns(items: list[dict[str, Any]]) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Turn STAC items into the columns of catalogue rows.

    User columns are the scalar properties, without those of the projection extension. A name that would hide a built-in
    column gets an underscore.

    Returns:
        The columns raster_id, outline (WKB), crs, acquired (ISO 8601, UTC) and properties (JSON); and the user columns
        with their types.

    Raises:
        UsageError: An item's projection or time is invalid.
    """
    import shapely

    properties = [_select_scalar_properties(item) for item in items]
    names = deduplicate_column_names((name for row in properties for name in row), RESERVED_COLUMNS)
    rows = [{names[name]: value for name, value in row.items()} for row in properties]
    outlines = [_read_item_outline(item) for item in items]
    columns = {
        "raster_id": [None if item.get("id") is None else str(item["id"]) for item in items],
        "outline": [shapely.to_wkb(outline, output_dimension=2) for outline, _ in outlines],
        "crs": [crs for _, crs in outlines],
        "acquired": [_read_item_time(item) for item in items],
        "properties": [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows],
    }
    return columns, {name: infer_column_type([row[name] for row in rows if name in row]) for name in names.values()}


def _select_scalar_properties(item: dict[str, Any]) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, float) and not isfinite(value) else value
        for name, value in (item.get("properties") or {}).items()
        if isinstance(value, str | int | float) and not name.startswith("proj:")
    }


def _read_item_time(item: dict[str, Any]) -> str | None:
    properties = item.get("properties") or {}
    try:
        return read_acquisition_time(properties)
    except (ValueError, TypeError) as error:
        text = properties.get("datetime") or properties.get("start_datetime")
        raise UsageError(
            f"STAC item '{item.get('id')}' has the invalid time {text!r}. Correct it to ISO 8601."
        ) from error


def _read_item_outline(item: dict[str, Any]) -> tuple[shapely.Geometry | None, str]:
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
