"""Log rows that remove rasters with their labels and split assignments."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.storage.events.plain_rows import PlainRows
from geographer.storage.events.row_tables import KEY_COLUMNS
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import pyarrow as pa

_DEPENDENT_TABLES: Final = {
    "label_change": "current_label",
    "label_object_change": "current_label_object",
    "split_change": "current_split",
}
"""Log tables of objects that belong to a raster, with the view of the objects at a revision."""

REMOVAL_TABLES: Final = ("raster_change", *_DEPENDENT_TABLES)
"""The log tables that removed rasters have rows in."""


def make_removal_rows(revision: Revision, ids: Sequence[str], recipe: str | None = None) -> dict[str, PlainRows]:
    """Return the rows, by log table, that remove rasters with what `make_dependent_removal_rows` removes."""
    removed = {"raster_change": make_removed_rows("raster_change", [(id,) for id in ids])} if ids else {}
    return removed | make_dependent_removal_rows(revision, ids, recipe)


def make_dependent_removal_rows(
    revision: Revision, ids: Sequence[str], recipe: str | None = None
) -> dict[str, PlainRows]:
    """Return the rows, by log table, that remove the labels, label objects and split assignments of rasters.

    Those of the label or split `recipe` are removed too, whatever their raster.
    """
    rows = {}
    for table, view in _DEPENDENT_TABLES.items():
        keys, parameters = KEY_COLUMNS[table], {"ids": [*ids], "recipe": recipe}
        condition = f"raster_id IN (SELECT unnest($ids::VARCHAR[])) OR {keys[0]} = $recipe"
        query = f"SELECT {', '.join(keys)} FROM {view} WHERE {condition} ORDER BY ALL"  # noqa: S608
        if removed := revision.fetch_rows(query, parameters):
            rows[table] = make_removed_rows(table, removed)
    return rows


def make_removed_rows(table: str, keys: Sequence[Sequence[object]]) -> PlainRows:
    """Return rows of the log's `table` that remove the objects with these keys; `keys` must not be empty."""
    columns = dict(zip(KEY_COLUMNS[table], map(list, zip(*keys, strict=True)), strict=True))
    return PlainRows(table, {"change": ["removed"] * len(keys), **columns})


def count_rows(rows: Mapping[str, "pa.Table | PlainRows"], table: str) -> int:
    """Return the number of rows in a log table."""
    return rows[table].num_rows if table in rows else 0


def check_ids_exist(revision: Revision, subject: Literal["feature", "raster"], ids: Sequence[str]) -> None:
    """Raise `UsageError` if `ids` is empty, and `NotFoundError` if an id is not in the dataset."""
    if not ids:
        raise UsageError(f"no {subject} id given. Name at least one.")
    query = f"SELECT id FROM (SELECT unnest($ids::VARCHAR[]) AS id) ANTI JOIN current_{subject} ON id = {subject}_id"  # noqa: S608
    if unknown := quote_names([id for (id,) in revision.fetch_rows(query, {"ids": [*ids]})]):
        raise NotFoundError(f"no {subject} {unknown} in the dataset. List the ids with: geographer {subject}s")
