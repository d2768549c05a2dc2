"""Removal: features, or rasters with their labels and places in splits, planned as one event."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from geographer.errors import NotFoundError, UsageError, naming
from geographer.events import Draft
from geographer.log.tables import KEYS, arrow_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geographer.queries.revision import Revision


def plan_feature_removal(revision: Revision, request: dict[str, Any]) -> Draft:
    """The `features_removed` event for the ids in `request`.

    Raises:
        NotFoundError: one of them is not there.
        UsageError: there are none.
    """
    ids = list(dict.fromkeys(request["ids"]))
    with _asked(revision, "feature", ids):
        pass
    rows = {"feature_change": arrow_table("feature_change", {"change": ["removed"] * len(ids), "feature_id": ids})}
    return Draft("features_removed", {"request": request, "features": len(ids)}, rows)


def plan_raster_removal(revision: Revision, request: dict[str, Any]) -> Draft:
    """The `rasters_removed` event for the ids in `request`, with what belongs to them.

    Raises:
        NotFoundError: one of them is not there.
        UsageError: there are none.
    """
    ids = list(dict.fromkeys(request["ids"]))
    with _asked(revision, "raster", ids):
        labels = revision.rows("SELECT label, raster_id FROM label_now SEMI JOIN asked ON raster_id = id ORDER BY ALL")
        objects = revision.rows(
            "SELECT label, raster_id, feature_id FROM label_object_now SEMI JOIN asked ON raster_id = id ORDER BY ALL"
        )
        splits = revision.rows("SELECT split, raster_id FROM split_now SEMI JOIN asked ON raster_id = id ORDER BY ALL")
    rows = {"raster_change": arrow_table("raster_change", {"change": ["removed"] * len(ids), "raster_id": ids})}
    if labels:
        rows["label_change"] = _removed("label_change", labels)
    if objects:
        rows["label_object_change"] = _removed("label_object_change", objects)
    if splits:
        rows["split_change"] = _removed("split_change", splits)
    payload = {"request": request, "rasters": len(ids), "labels": len(labels), "splits": len(splits)}
    return Draft("rasters_removed", payload, rows)


def _removed(table: str, keys: list[tuple[Any, ...]]) -> Any:
    """Rows of the log's `table` that say that the objects with these keys are gone; at least one."""
    columns = zip(KEYS[table], zip(*keys, strict=True), strict=True)
    return arrow_table(table, {"change": ["removed"] * len(keys), **{name: list(column) for name, column in columns}})


@contextmanager
def _asked(revision: Revision, subject: Literal["feature", "raster"], ids: list[str]) -> Iterator[None]:
    import pyarrow as pa

    if not ids:
        raise UsageError(f"no {subject} named: give one id or more")
    revision.connection.register("asked", pa.table({"id": pa.array(ids, pa.string())}))
    try:
        unknown = revision.rows(f"SELECT id FROM asked ANTI JOIN {subject}_now ON id = {subject}_id")  # noqa: S608
        if unknown:
            raise NotFoundError(f"no {subject} {naming([row[0] for row in unknown])}: see geographer {subject}s")
        yield
    finally:
        revision.connection.unregister("asked")
