"""Log rows that remove rasters together with their labels and split assignments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.storage.log.row_tables import KEY_COLUMNS, make_row_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geographer.storage.queries.revision import Revision

_DEPENDENT_TABLES: Final = {
    "label_change": "current_label",
    "label_object_change": "current_label_object",
    "split_change": "current_split",
}
"""Log tables of objects that belong to a raster, with the view of the objects at a revision."""


def make_removal_rows(revision: Revision, ids: list[str]) -> dict[str, Any]:
    """Return the rows, by log table, that remove distinct rasters with their labels and split assignments.

    Raises:
        NotFoundError: An id is not in the dataset.
        UsageError: `ids` is empty.
    """
    check_ids_exist(revision, "raster", ids)
    removed = make_removed_rows("raster_change", [(raster_id,) for raster_id in ids])
    return {"raster_change": removed, **make_dependent_removal_rows(revision, ids)}


def make_dependent_removal_rows(revision: Revision, ids: list[str], recipe: str | None = None) -> dict[str, Any]:
    """Return the rows, by log table, that remove the labels, label objects and split assignments of rasters.

    Those of the label or split `recipe` are removed too, whatever their raster.
    """
    rows = {}
    for table, view in _DEPENDENT_TABLES.items():
        keys = revision.fetch_rows(
            f"SELECT {', '.join(KEY_COLUMNS[table])} FROM {view} "  # noqa: S608
            f"WHERE raster_id IN (SELECT unnest($ids::VARCHAR[])) OR {KEY_COLUMNS[table][0]} = $recipe ORDER BY ALL",
            {"ids": ids, "recipe": recipe},
        )
        if keys:
            rows[table] = make_removed_rows(table, keys)
    return rows


def make_removed_rows(table: str, keys: Sequence[tuple[Any, ...]]) -> Any:
    """Return rows of the log's `table` that remove the objects with these keys; `keys` must not be empty."""
    columns = map(list, zip(*keys, strict=True))
    return make_row_table(
        table, {"change": ["removed"] * len(keys), **dict(zip(KEY_COLUMNS[table], columns, strict=True))}
    )


def count_rows(rows: Mapping[str, Any], *subjects: str) -> dict[str, int]:
    """Return the number of rows in the log tables of 'raster', 'label' or 'split', by plural, for a payload."""
    return {f"{subject}s": len(rows.get(f"{subject}_change", ())) for subject in subjects}


def check_ids_exist(revision: Revision, subject: Literal["feature", "raster"], ids: list[str]) -> None:
    """Check that `ids` names at least one feature or raster, and only existing ones.

    Raises:
        NotFoundError: An id is not in the dataset.
        UsageError: `ids` is empty.
    """
    if not ids:
        raise UsageError(f"no {subject} id given. Name at least one.")
    unknown = revision.fetch_rows(
        f"SELECT id FROM (SELECT unnest($ids::VARCHAR[]) AS id) ANTI JOIN current_{subject} ON id = {subject}_id",  # noqa: S608
        {"ids": ids},
    )
    if unknown:
        raise NotFoundError(
            f"no {subject} {quote_names([row[0] for row in unknown])} in the dataset. "
            f"List the ids with: geographer {subject}s"
        )
