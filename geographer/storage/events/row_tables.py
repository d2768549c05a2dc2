"""Row tables: the typed rows beside an event's payload. Columns, types and keys are declared once."""

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

_MERGE_COLUMNS: Final = {
    "object_order": ("subject object_id", "generation digest place"),
    "merge_conflict": ("conflict", "subject object_id column_name base ours theirs remedy"),
}
"""The columns of the row tables that only merges have, all of text."""

CORE_TABLES: Final = tuple(_COLUMNS)
"""The row tables that several kinds of events share."""

MERGE_TABLES: Final = tuple((table, *columns) for table, columns in _MERGE_COLUMNS.items())
"""Name, key columns and other columns of the tables that only merges have: a log gets them with its first merge."""

_COLUMNS.update(_MERGE_COLUMNS)

KEY_COLUMNS: Final = {table: tuple(keys.split()) for table, (keys, _) in _COLUMNS.items()}
"""The columns that identify an object in each table."""

ROW_TABLES: Final = {table: tuple(f"{keys} {others}".split()) for table, (keys, others) in _COLUMNS.items()}
"""The columns of each row table, in the order in which they are hashed and inserted."""

WKB_COLUMNS: Final = frozenset({"geometry", "outline"})
"""Columns of WKB bytes, which are hashed by the SHA-256 of their bytes."""

_TYPES: Final = {
    **{"value": "INTEGER", "id_is_integer": "BOOLEAN"},
    **dict.fromkeys(("width", "height", "bands", "size", "col", "row", "instance", "pixels"), "BIGINT"),
    # WKB is not compressed: it hardly gets smaller, and compressing it would take most of the time of an append.
    **dict.fromkeys(WKB_COLUMNS, "BLOB USING COMPRESSION uncompressed"),
}
"""The types of the columns that are not VARCHAR."""
_REQUIRED_VALUES: Final = frozenset({"value", "reason"})
"""Columns that identify no object, and are not null either."""


def declare_row_table(table: str, keys: str, others: str) -> None:
    """Declare a row table of text columns: those that identify an object, and the others."""
    KEY_COLUMNS[table], ROW_TABLES[table] = tuple(keys.split()), tuple(f"{keys} {others}".split())


def build_table_sql(table: str) -> str:
    """Return the statement that creates a row table in the log; `event_key` refers to the row's event."""
    return f"CREATE TABLE IF NOT EXISTS log.{table} (event_key INTEGER NOT NULL, {declare_columns(table)})"


def declare_columns(table: str) -> str:
    """Return the declarations of a row table's columns, without the key of the event."""
    columns = ", ".join(_declare_column(table, column) for column in ROW_TABLES[table])
    return f"ordinal BIGINT NOT NULL, change VARCHAR NOT NULL, {columns}, row_digest VARCHAR NOT NULL"


def cast_columns(table: str) -> str:
    """Return the select list of a planned row's columns, in the types in which the log stores them."""
    return ", ".join(f'"{column}"::{kind} AS "{column}"' for column, kind in list_column_types(table).items())


def list_column_types(table: str) -> dict[str, str]:
    """Return the columns of a row table with their SQL types."""
    return {column: _TYPES.get(column, "VARCHAR").partition(" ")[0] for column in ROW_TABLES[table]}


def _declare_column(table: str, column: str) -> str:
    is_required = column in KEY_COLUMNS[table] or column in _REQUIRED_VALUES
    return f'"{column}" {_TYPES.get(column, "VARCHAR")}{" NOT NULL" if is_required else ""}'


def make_row_table(table: str, columns: dict[str, list[Any]]) -> pa.Table:
    """Return an Arrow table with all columns of a row table; missing ones are null, a missing `change` is 'added'."""
    import pyarrow as pa

    arrow_types = {"INTEGER": pa.int32(), "BOOLEAN": pa.bool_(), "BIGINT": pa.int64(), "VARCHAR": pa.string()}
    count = len(next(iter(columns.values())))
    with_change = {"change": ["added"] * count, **columns}
    names = ("change", *ROW_TABLES[table])
    types = {name: arrow_types.get(_TYPES.get(name, "VARCHAR"), pa.binary()) for name in names}
    return pa.table({name: pa.array(with_change.get(name, [None] * count), types[name]) for name in names})


def make_json_path(name: str) -> str:
    """Return the JSON path of a user column in `properties`."""
    return '$."' + name.replace('"', '\\"') + '"'
