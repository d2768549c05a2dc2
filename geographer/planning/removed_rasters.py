"""TODO."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.storage.log.row_tables import KEYS, make_row_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geographer.storage.queries.revision import Revision

_GONE_TOO: Final = {
    "label_change": "label_now",
    "label_object_change": "label_object_now",
    "split_change": "split_now",
}
"""The log's tables of what belongs to a raster, and the views of what stands."""


def make_removal_rows(revision: Revision, ids: list[str]) -> dict[str, Any]:
    """The rows that remove rasters, each named once, with their labels and their places in splits.

    Raises:
        NotFoundError: one of them is not there.
        UsageError: there are none.
    """
    with check_ids_exist(revision, "raster", ids):
        pass
    removed = make_row_table("raster_change", {"change": ["removed"] * len(ids), "raster_id": ids})
    return {"raster_change": removed, **make_dependent_removal_rows(revision, ids)}


def make_dependent_removal_rows(revision: Revision, ids: list[str]) -> dict[str, Any]:
    """What goes with rasters that go, by table of the log: labels, what these show, and places in splits."""
    import pyarrow as pa

    revision.connection.register("gone_raster", pa.table({"raster_id": pa.array(ids, pa.string())}))
    try:
        found = {
            table: revision.fetch_rows(
                f"SELECT {', '.join(KEYS[table])} FROM {now} SEMI JOIN gone_raster USING (raster_id) ORDER BY ALL"  # noqa: S608
            )
            for table, now in _GONE_TOO.items()
        }
    finally:
        revision.connection.unregister("gone_raster")
    return {table: make_removed_rows(table, keys) for table, keys in found.items() if keys}


def make_removed_rows(table: str, keys: list[tuple[Any, ...]]) -> Any:
    """Rows of the log's `table` that say that the objects with these keys are gone; at least one."""
    columns = zip(KEYS[table], zip(*keys, strict=True), strict=True)
    return make_row_table(
        table, {"change": ["removed"] * len(keys), **{name: list(column) for name, column in columns}}
    )


@contextmanager
def check_ids_exist(revision: Revision, subject: Literal["feature", "raster"], ids: list[str]) -> Iterator[None]:
    import pyarrow as pa

    if not ids:
        raise UsageError(f"no {subject} named: give one id or more")
    revision.connection.register("asked", pa.table({"id": pa.array(ids, pa.string())}))
    try:
        unknown = revision.fetch_rows(f"SELECT id FROM asked ANTI JOIN {subject}_now ON id = {subject}_id")  # noqa: S608
        if unknown:
            raise NotFoundError(f"no {subject} {quote_names([row[0] for row in unknown])}: see geographer {subject}s")
        yield
    finally:
        revision.connection.unregister("asked")
