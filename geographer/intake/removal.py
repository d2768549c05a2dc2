"""Removal: features, or rasters with their labels and places in splits, planned as one event."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from geographer.errors import NotFoundError, UsageError, naming
from geographer.events import Draft
from geographer.log.tables import arrow_table

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
    rows = removal_rows(revision, ids)
    counts = {f"{what}s": len(rows.get(f"{what}_change", ())) for what in ("label", "split")}
    return Draft("rasters_removed", {"request": request, "rasters": len(ids), **counts}, rows)


def removal_rows(revision: Revision, ids: list[str]) -> dict[str, Any]:
    """The rows that remove rasters, each named once, with their labels and their places in splits.

    Raises:
        NotFoundError: one of them is not there.
        UsageError: there are none.
    """
    with _asked(revision, "raster", ids):
        labels = revision.rows("SELECT label, raster_id FROM label_now SEMI JOIN asked ON raster_id = id ORDER BY ALL")
        splits = revision.rows("SELECT split, raster_id FROM split_now SEMI JOIN asked ON raster_id = id ORDER BY ALL")
    rows = {"raster_change": arrow_table("raster_change", {"change": ["removed"] * len(ids), "raster_id": ids})}
    if labels:
        rows["label_change"] = _removed("label_change", "label", labels)
    if splits:
        rows["split_change"] = _removed("split_change", "split", splits)
    return rows


def _removed(table: str, key: str, rows: list[tuple[Any, ...]]) -> Any:
    names, rasters = zip(*rows, strict=True)
    return arrow_table(table, {"change": ["removed"] * len(rows), key: list(names), "raster_id": list(rasters)})


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
