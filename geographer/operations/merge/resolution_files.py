"""Files with the value that resolves a conflict: GeoJSON, JSON, or CSV for a split."""

import csv
import json
from pathlib import Path
from typing import Any

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import UsageError
from geographer.base.input_paths import require_input_path
from geographer.operations.merge.columns import PROPERTY, join_columns, split_columns
from geographer.planning.merge_conflicts import NumberedConflict

_ID_NAMES = ("id", "feature_id", "class")


def read_resolution(path: str, item: NumberedConflict) -> str | None:
    """Return the value of a conflict that a file has, as JSON text; null in JSON: without the object or column.

    Raises:
        NotFoundError: There is no such file.
        UsageError: The file is not what the conflict needs, or a file cannot resolve it.
    """
    conflict, source = item.conflict, require_input_path(path)
    if conflict.subject in ("tag", "removal") or (conflict.subject == "raster" and conflict.column in (None, "file")):
        raise UsageError(
            f"conflict {item.number} is of a {conflict.subject}, which no file can resolve. Pass --take ours or "
            "theirs, and change it afterwards, for example with geographer add rasters."
        )
    if conflict.subject == "split":
        return _read_parts(source)
    value = _read_json(source)
    if conflict.subject == "feature" and conflict.column in (None, "geometry"):
        return _read_feature(source, value, item)
    if conflict.subject == "recipe" and conflict.column is None and value is not None:
        _require_recipe(source, value)
    if conflict.subject == "class" and conflict.column is None and value is not None:
        value = {"value": value}
    return None if value is None else canonical_json(value)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"'{path}' is not JSON: {error}. Correct the file.") from error
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read ({error.strerror}). Name another file.") from error


def _read_feature(path: Path, value: Any, item: NumberedConflict) -> str | None:
    """Return the feature of a GeoJSON file, or its geometry; coordinates are longitude and latitude."""
    if value is None and item.conflict.column is None:
        return None
    feature = _select_feature(path, value)
    geometry = canonical_json({"wkb": _read_geometry(path, feature).hex(), "crs": "EPSG:4326"})
    if item.conflict.column == "geometry":
        return geometry
    columns = split_columns(item.conflict.ours or item.conflict.theirs) or {}
    properties = feature.get("properties") or {}
    columns["geometry"] = geometry
    if isinstance(properties.get("class"), str):
        columns["class"] = canonical_json(properties["class"])
    columns |= {f"{PROPERTY}{name}": canonical_json(part) for name, part in properties.items() if name not in _ID_NAMES}
    return join_columns(columns)


def _select_feature(path: Path, value: Any) -> dict[str, Any]:
    features = (
        value.get("features") if isinstance(value, dict) and value.get("type") == "FeatureCollection" else [value]
    )
    if isinstance(features, list) and len(features) == 1 and isinstance(features[0], dict):
        feature: dict[str, Any] = features[0]
        if feature.get("type") == "Feature" and isinstance(feature.get("properties") or {}, dict):
            return feature
    raise UsageError(f"'{path}' is not GeoJSON with one feature. Write the feature that is to stay to it.")


def _read_geometry(path: Path, feature: dict[str, Any]) -> bytes:
    import shapely
    from shapely.geometry import shape

    try:
        geometry = shape(feature["geometry"])
        is_usable = bool(shapely.is_valid(geometry)) and not geometry.is_empty
    except (shapely.errors.ShapelyError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        is_usable = False
    if not is_usable:
        raise UsageError(f"the feature in '{path}' has no valid geometry. Correct the file.")
    wkb: bytes = shapely.to_wkb(geometry, output_dimension=2, byte_order=1)
    return wkb


def _require_recipe(path: Path, value: Any) -> None:
    names = {"kind", "parameters"}
    if not isinstance(value, dict) or value.keys() != names or not isinstance(value["parameters"], dict):
        raise UsageError(f"'{path}' is not a recipe: a JSON object with kind and parameters. Correct the file.")


def _read_parts(path: Path) -> str:
    """Return the parts of rasters in a CSV file with the columns raster_id and part; an empty one is none."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
            parts = {row["raster_id"]: row["part"] or None for row in rows}
    except (KeyError, UnicodeDecodeError, csv.Error, OSError) as error:
        raise UsageError(f"'{path}' is not CSV with the columns raster_id and part. Correct the file.") from error
    return canonical_json(parts)
