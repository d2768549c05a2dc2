"""Files with the value that resolves a conflict: GeoJSON, JSON, or CSV for a split."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import UsageError, quote_objects
from geographer.base.input_paths import require_input_path
from geographer.operations.merge.columns import PROPERTY, join_columns, split_columns
from geographer.operations.merge.resolution_values import UserTypes, check_column, check_property
from geographer.planning.merge_conflicts import NumberedConflict

_ID_NAMES: Final = ("id", "feature_id")
_TAKE: Final = {
    "tag": "Pass --take ours or theirs: a tag does not move otherwise.",
    "removal": "Pass --take ours or theirs: whether recipes leave the raster out.",
    "raster": "Pass --take ours or theirs, and change the raster afterwards with geographer add rasters --replace.",
    "recipe": "Pass --take ours, theirs or base, and draw other boxes afterwards with geographer cut boxes --replace.",
}
"""What to do about conflicts that no file can resolve."""


def read_resolution(path: str, item: NumberedConflict, types: UserTypes) -> str | None:
    """Return the value of a conflict that a file has, as JSON text; null in JSON: without the object or column.

    `types` are the user columns of features and of rasters with their types.

    Raises:
        NotFoundError: There is no such file.
        UsageError: The file is not what the conflict needs, or a file cannot resolve it.
    """
    conflict, source = item.conflict, require_input_path(path)
    if _is_of_files(item):
        what = f"a {conflict.subject}" if conflict.column is None else f"the {conflict.column} of a {conflict.subject}"
        raise UsageError(f"conflict {item.number} is of {what}, which no file can resolve. {_TAKE[conflict.subject]}")
    if conflict.subject == "split":
        return _read_parts(source)
    value = _read_json(source)
    if conflict.subject == "feature" and conflict.column in (None, "geometry"):
        return _read_feature(source, value, item, types["feature"])
    value = check_column(source, item, value, types)
    if conflict.subject == "class" and conflict.column is None and value is not None:
        value = {"value": value}
    return None if value is None else canonical_json(value)


def _is_of_files(item: NumberedConflict) -> bool:
    """Return whether files, outlines or a memory of the user are in conflict, which a file cannot express."""
    conflict = item.conflict
    if conflict.subject == "raster":
        # The collection is a part of the path of the file.
        return conflict.column in (None, "file", "collection")
    return conflict.subject in ("tag", "removal") or (
        conflict.subject == "recipe" and (conflict.column or "").startswith("box ")
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"'{path}' is not JSON: {error}. Correct the file.") from error
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read ({error.strerror}). Name another file.") from error


def _read_feature(path: Path, value: Any, item: NumberedConflict, types: Mapping[str, str]) -> str | None:
    """Return the feature of a GeoJSON file, or its geometry; coordinates are longitude and latitude."""
    if value is None and item.conflict.column is None:
        return None
    feature = _select_feature(path, value)
    properties = feature.get("properties") or {}
    _require_same_id(path, {**properties, "feature id": feature.get("id")}, item.conflict.object_id)
    geometry = canonical_json({"wkb": _read_geometry(path, feature).hex(), "crs": "EPSG:4326"})
    if item.conflict.column == "geometry":
        return geometry
    columns = split_columns(item.conflict.ours or item.conflict.theirs) or {}
    columns["geometry"] = geometry
    if "class" in properties:
        columns["class"] = canonical_json(check_column(path, _select_column(item, "class"), properties["class"], {}))
    for name, part in properties.items():
        if name not in (*_ID_NAMES, "class"):
            checked = check_property(path, name, part, types)
            columns |= {f"{PROPERTY}{name}": canonical_json(checked)}
    return join_columns({name: text for name, text in columns.items() if text != "null"})


def _select_column(item: NumberedConflict, column: str) -> NumberedConflict:
    return item._replace(conflict=item.conflict._replace(column=column))


def _require_same_id(path: Path, properties: Mapping[str, Any], object_id: str) -> None:
    for name in (*_ID_NAMES, "feature id"):
        value = properties.get(name)
        if value is not None and str(value) != object_id:
            raise UsageError(
                f"'{path}' has the feature '{value}', but the conflict is of feature '{object_id}'. Name another file, "
                "or leave the id out."
            )


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
    if not shapely.box(-180, -90, 180, 90).covers(shapely.box(*geometry.bounds)):
        raise UsageError(
            f"the feature in '{path}' has coordinates out of range: GeoJSON has longitude, -180 to 180, and latitude, "
            "-90 to 90. Transform it to EPSG:4326."
        )
    wkb: bytes = shapely.to_wkb(geometry, output_dimension=2, byte_order=1)
    return wkb


def _read_parts(path: Path) -> str:
    """Return the parts of rasters in a CSV file with the columns raster_id and part; an empty one is none."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [(row["raster_id"] or "", row["part"] or None) for row in reader] if reader.fieldnames else []
    except (KeyError, UnicodeDecodeError, csv.Error, OSError) as error:
        raise UsageError(f"'{path}' is not CSV with the columns raster_id and part. Correct the file.") from error
    if not rows or not {"raster_id", "part"} <= {*(reader.fieldnames or ())}:
        raise UsageError(
            f"'{path}' has no row with the columns raster_id and part. Write the rasters with their parts to it, as "
            "CSV with these names in the first line."
        )
    parts = dict(rows)
    if ambiguous := sorted({raster for raster, part in rows if parts[raster] != part}):
        raise UsageError(f"'{path}' has several parts for {quote_objects('raster', ambiguous)}. Correct the file.")
    return canonical_json(parts)
