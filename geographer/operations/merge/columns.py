"""Columns of an object: the parts that are merged on their own, each as JSON text."""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from geographer.base.canonical_json import canonical_json
from geographer.storage.events.row_tables import ROW_TABLES

Columns = Mapping[str, str]
"""The columns of an object by name, as JSON text; equal values have equal texts."""

PROPERTY: Final = "properties."
"""What the names of user columns begin with."""

REQUIRED_COLUMNS: Final = frozenset({"value", "class", "geometry", "id_is_integer", "file", "collection"})
"""Columns that an object cannot lack."""

_FILE_COLUMNS: Final = tuple(
    name
    for name in ROW_TABLES["raster_change"]
    if name not in ("raster_id", "collection", "acquired", "properties", "outline")
)


def split_row(table: str, row: Mapping[str, Any]) -> Columns:
    """Return the columns of a row of `class_change`, `feature_change` or `raster_change`; null properties are none."""
    if table == "class_change":
        return {"value": canonical_json(row["value"])}
    if table == "feature_change":
        geometry = None if row["geometry"] is None else {"wkb": row["geometry"].hex(), "crs": row["crs"]}
        columns = {"class": row["class"], "geometry": geometry, "id_is_integer": row["id_is_integer"]}
    else:
        file = {name: row[name] for name in _FILE_COLUMNS}
        outline = None if row["outline"] is None else row["outline"].hex()
        columns = {"file": {**file, "outline": outline}}
        columns |= {"collection": row["collection"], "acquired": row["acquired"]}
    texts = {name: canonical_json(value) for name, value in columns.items()}
    return texts | {f"{PROPERTY}{name}": text for name, text in _list_values(row["properties"]).items()}


def join_row(table: str, columns: Columns, rows: tuple[Mapping[str, Any] | None, ...] = ()) -> dict[str, Any]:
    """Return the values of a row with these columns; properties are as in one of `rows` if that has the same ones."""
    values = {name: json.loads(text) for name, text in columns.items() if not name.startswith(PROPERTY)}
    if table == "class_change":
        return values
    if table == "feature_change":
        geometry = values.pop("geometry")
        values |= {"geometry": bytes.fromhex(geometry["wkb"]), "crs": geometry["crs"]}
    else:
        file = values.pop("file")
        outline = file.pop("outline")
        values |= {**file, "outline": None if outline is None else bytes.fromhex(outline)}
    properties = {name.removeprefix(PROPERTY): text for name, text in columns.items() if name.startswith(PROPERTY)}
    texts = [row["properties"] for row in rows if row and _list_values(row["properties"]) == properties]
    return {**values, "properties": min(texts, key=str) if texts else join_properties(properties)}


def split_properties(text: str | None) -> dict[str, str]:
    """Return the user columns of a row, each as JSON text."""
    raw = msgspec.json.decode(text or "{}", type=dict[str, msgspec.Raw])
    return {name: bytes(value).decode() for name, value in raw.items()}


def _list_values(text: str | None) -> dict[str, str]:
    return {name: value for name, value in split_properties(text).items() if value != "null"}


def join_properties(properties: Mapping[str, str]) -> str:
    """Return user columns, each as JSON text, as one JSON object."""
    return "{" + ",".join(f"{_encode_name(name)}:{properties[name]}" for name in sorted(properties)) + "}"


def join_columns(columns: Columns | None) -> str | None:
    """Return all columns of an object as one JSON object; None: the object is not there."""
    return None if columns is None else join_properties(columns)


def split_columns(text: str | None) -> dict[str, str] | None:
    """Return the columns of an object that `join_columns` joined."""
    return None if text is None else split_properties(text)


def _encode_name(name: str) -> str:
    return msgspec.json.encode(name).decode()
