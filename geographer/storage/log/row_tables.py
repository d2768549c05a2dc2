"""The log's row tables: which columns each has, in the order in which they are hashed and inserted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

TABLES: Final[dict[str, tuple[str, ...]]] = {
    "class_change": ("class", "value"),
    "feature_change": ("feature_id", "id_is_integer", "class", "geometry", "crs", "properties"),
    "raster_change": (
        "raster_id",
        "collection",
        "path",
        "storage",
        "crs",
        "width",
        "height",
        "transform",
        "bands",
        "dtype",
        "nodata",
        "acquired",
        "size",
        "md5",
        "sha256",
        "pixel_digest",
        "outline",
        "parent_id",
        "col",
        "row",
        "recipe",
        "feature_id",
        "properties",
    ),
    "label_change": ("label", "raster_id", "path", "size", "md5", "sha256", "pixel_digest"),
    "label_object_change": (
        "label",
        "raster_id",
        "feature_id",
        "class",
        "instance",
        "pixels",
        "box",
        "corners",
        "visible",
    ),
    "split_change": ("split", "raster_id", "part"),
    "recipe_input": ("recipe", "subject", "object_id", "geometry", "crs"),
    "skipped_input": ("input", "name", "reason"),
}

BLOBS: Final = frozenset({"geometry", "outline"})
"""Columns of WKB bytes: they enter a digest as the SHA-256 of their bytes."""

_WHOLE: Final = frozenset({"width", "height", "bands", "size", "col", "row", "instance", "pixels"})

KEYS: Final[dict[str, tuple[str, ...]]] = {
    "class_change": ("class",),
    "feature_change": ("feature_id",),
    "raster_change": ("raster_id",),
    "label_change": ("label", "raster_id"),
    "label_object_change": ("label", "raster_id", "feature_id"),
    "split_change": ("split", "raster_id"),
    "recipe_input": ("recipe", "subject", "object_id"),
    "skipped_input": ("input", "name"),
}
"""What names an object in each table."""


def make_row_table(table: str, columns: dict[str, list[Any]]) -> pa.Table:
    """`columns` as an Arrow table with every column of a row table in its type; those left out are null.

    `change` is 'added' unless it is given.
    """
    import pyarrow as pa

    types = {"value": pa.int32(), "id_is_integer": pa.bool_()}
    types |= dict.fromkeys(BLOBS, pa.binary()) | dict.fromkeys(_WHOLE, pa.int64())
    count = len(next(iter(columns.values())))
    filled = {"change": ["added"] * count, **columns}
    return pa.table(
        {
            name: pa.array(filled.get(name, [None] * count), types.get(name, pa.string()))
            for name in ("change", *TABLES[table])
        }
    )
