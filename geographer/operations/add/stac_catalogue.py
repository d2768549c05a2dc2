"""STAC items as catalogue rows: id, outline in the item's own CRS, acquisition time and scalar properties."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.algorithms.antimeridian import cut_at_antimeridian
from geographer.archives.stac_items import read_acquisition_time, read_outline
from geographer.base.errors import UsageError
from geographer.base.input_paths import require_input_path
from geographer.base.text import quote_start
from geographer.planning.user_columns import make_user_columns
from geographer.storage.events.payload import Columns

if TYPE_CHECKING:
    import shapely

_SUFFIXES: Final = (".json", ".geojson")
_LONLAT: Final = "EPSG:4326"
_MEMBERS: Final[Mapping[str, tuple[str, type | tuple[type, ...]]]] = {
    "id": ("a text", (str, int)),
    "properties": ("an object", dict),
    "assets": ("an object", dict),
    "geometry": ("an object", dict),
    "bbox": ("a list", list),
}
"""The members of items that are read, and their types."""
_MALFORMED_ERRORS: Final = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)
"""What members of the right type but with wrong content raise."""


def read_stac_items(data: Any) -> list[Mapping[str, Any]] | None:
    """Return the STAC items of a JSON file (an Item or an ItemCollection), or None for any other data.

    `UsageError` if a member of an item has another type than STAC requires.
    """
    if not isinstance(data, str | Path) or Path(data).suffix.lower() not in _SUFFIXES:
        return None
    path = require_input_path(data)
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return None
    except RecursionError as error:
        raise UsageError(f"'{path}' is nested too deeply to be read. Get the file again.") from error
    items = content.get("features", [content]) if isinstance(content, dict) else None
    if not isinstance(items, list) or not items:
        return None
    if not all(isinstance(item, dict) and "stac_version" in item for item in items):
        return None
    for item in items:
        _check_types(path, item)
    return items


def _check_types(path: Path, item: Mapping[str, Any]) -> None:
    """Raise `UsageError` if a member of an item has a wrong type; null counts as missing."""
    members = [(name, item.get(name), *expected) for name, expected in _MEMBERS.items()]
    if isinstance(assets := item.get("assets"), dict):
        members += [(f"asset '{name}'", asset, "an object", dict) for name, asset in assets.items()]
    for name, value, noun, expected_type in members:
        if value is not None and (isinstance(value, bool) or not isinstance(value, expected_type)):
            value_text, item_id = quote_start(json.dumps(value), 40), item.get("id")
            raise UsageError(f"'{path}': the {name} of STAC item {item_id!r} is {value_text}, not {noun}. Correct it.")


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
        name: value
        for name, value in (item.get("properties") or {}).items()
        if isinstance(value, str | int | float) and not name.startswith("proj:")
    }


def _read_item_time(item: Mapping[str, Any]) -> str | None:
    properties = item.get("properties") or {}
    try:
        return read_acquisition_time(properties)
    except _MALFORMED_ERRORS as error:
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
        return cut_at_antimeridian(shapely.from_geojson(json.dumps(item["geometry"])), item.get("bbox")), _LONLAT
    except (*_MALFORMED_ERRORS, shapely.errors.ShapelyError) as error:
        raise UsageError(f"STAC item '{item.get('id')}' has an invalid geometry or projection: {error}") from error
