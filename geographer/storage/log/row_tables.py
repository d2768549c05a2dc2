"""The log's row tables: their columns and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS: Final = {
    "class_change": ("class", "value"),
    "feature_change": ("feature_id", "id_is_integer class geometry crs properties"),
    "raster_change": (
        "raster_id",
        "collection path storage crs width height transform bands dtype nodata acquired size md5 sha256 pixel_digest "
        "outline parent_id col row recipe feature_id properties",
    ),
    "label_change": ("label raster_id", "path size md5 sha256 pixel_digest"),
    "label_object_change": ("label raster_id feature_id", "class instance pixels box corners visible"),
    "split_change": ("split raster_id", "part"),
    "recipe_input": ("recipe subject object_id", "geometry crs"),
    "skipped_input": ("input name", "reason"),
}
"""The columns of each row table: those that identify an object, then the others."""

KEY_COLUMNS: Final = {table: tuple(keys.split()) for table, (keys, _) in _COLUMNS.items()}
"""The columns that identify an object in each table."""

ROW_TABLES: Final = {table: tuple(f"{keys} {others}".split()) for table, (keys, others) in _COLUMNS.items()}
"""The columns of each row table, in the order in which they are hashed and inserted."""

WKB_COLUMNS: Final = frozenset({"geometry", "outline"})
"""Columns of WKB bytes, which are hashed by the SHA-256 of their bytes."""

_INTEGER_COLUMNS: Final = frozenset({"width", "height", "bands", "size", "col", "row", "instance", "pixels"})


def make_row_table(table: str, columns: dict[str, list[Any]]) -> pa.Table:
    """Return `columns` as an Arrow table with all columns of a row table, typed; missing ones are null.

    A missing `change` is 'added'.
    """
    import pyarrow as pa

    types = {"value": pa.int32(), "id_is_integer": pa.bool_()}
    types |= dict.fromkeys(WKB_COLUMNS, pa.binary()) | dict.fromkeys(_INTEGER_COLUMNS, pa.int64())
    count = len(next(iter(columns.values())))
    with_change = {"change": ["added"] * count, **columns}
    names = ("change", *ROW_TABLES[table])
    return pa.table({n: pa.array(with_change.get(n, [None] * count), types.get(n, pa.string())) for n in names})
