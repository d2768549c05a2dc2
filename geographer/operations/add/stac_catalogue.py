"""STAC items: the id, the outline in its own CRS, the time and the properties of each, as columns of rows."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.archives.stac_items import acquired_of, outline_of
from geographer.base.errors import UsageError
from geographer.planning.user_columns import common_column_type, deduplicate_column_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import shapely

_SUFFIXES: Final = (".json", ".geojson")
_LONLAT: Final = "EPSG:4326"


def stac_items(data: Any) -> list[dict[str, Any]] | None:
    """The STAC items in a JSON file (an item, or a collection of items), or None when it is something else."""
    if not isinstance(data, str | Path) or Path(data).suffix.lower() not in _SUFFIXES or not Path(data).is_file():
        return None
    try:
        content = json.loads(Path(data).read_text(encoding="utf-8"))
    except ValueError:
        return None
    items = content.get("features", [content]) if isinstance(content, dict) else []
    return items if items and all(isinstance(item, dict) and "stac_version" in item for item in items) else None


def stac_rows(items: list[dict[str, Any]], reserved: Collection[str]) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """The columns raster_id, outline (WKB), crs, acquired (ISO 8601, UTC) and properties (JSON); and the own columns.

    Own columns are the properties that are single texts, numbers or truth values; those of the projection extension
    have become the outline. A name in `reserved` gets an underscore.

    Raises:
        UsageError: an item's projection or time can't be understood.
    """
    import shapely

    properties = [dict(_plain(item)) for item in items]
    names = deduplicate_column_names((name for one in properties for name in one), reserved)
    named = [{names[name]: value for name, value in one.items()} for one in properties]
    shapes = [_outline(item) for item in items]
    columns = {
        "raster_id": [None if item.get("id") is None else str(item["id"]) for item in items],
        "outline": [shapely.to_wkb(shape, output_dimension=2) for shape, _ in shapes],
        "crs": [crs for _, crs in shapes],
        "acquired": [_acquired(item) for item in items],
        "properties": [json.dumps(one, ensure_ascii=False, sort_keys=True) for one in named],
    }
    return columns, {name: common_column_type([one[name] for one in named if name in one]) for name in names.values()}


def _plain(item: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in (item.get("properties") or {}).items():
        if isinstance(value, str | int | float) and not name.startswith("proj:"):
            yield name, str(value) if isinstance(value, float) and not isfinite(value) else value


def _acquired(item: dict[str, Any]) -> str | None:
    properties = item.get("properties") or {}
    try:
        return acquired_of(properties)
    except (ValueError, TypeError) as error:
        text = properties.get("datetime") or properties.get("start_datetime")
        raise UsageError(f"STAC item '{item.get('id')}' has no time in ISO 8601 but {text!r}: mend it") from error


def _outline(item: dict[str, Any]) -> tuple[shapely.Geometry | None, str]:
    """An item's footprint and its CRS: exact where the item, or an asset of it, has the projection extension."""
    import shapely

    try:
        outline = outline_of(item.get("properties") or {}, (item.get("assets") or {}).values())
        if outline is not None:
            return outline
        if not item.get("geometry"):
            return None, _LONLAT
        return _unwrapped(shapely.from_geojson(json.dumps(item["geometry"])), item.get("bbox")), _LONLAT
    except (ValueError, TypeError, IndexError, shapely.errors.ShapelyError) as error:
        raise UsageError(f"STAC item '{item.get('id')}' has a place that can't be understood: {error}") from error


def _unwrapped(outline: shapely.Geometry, box: list[float] | None) -> shapely.Geometry:
    """A polygon whose box (RFC 7946) spans the antimeridian, with what lies east of it moved on by a turn."""
    import shapely

    if not box or box[0] <= box[len(box) // 2] or outline.geom_type != "Polygon":
        return outline
    return shapely.transform(outline, lambda places: [(x + 360 if x < 0 else x, y) for x, y in places])
