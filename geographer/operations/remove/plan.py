"""Removal: features, or rasters with their labels and places in splits, planned as one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geographer.base.errors import NotFoundError, quote_names
from geographer.planning.removed_rasters import check_ids_exist, make_removal_rows, make_removed_rows
from geographer.storage.events import EventDraft
from geographer.storage.log.row_tables import KEYS, make_row_table

if TYPE_CHECKING:
    from geographer.storage.queries.revision import Revision


def plan_feature_removal(revision: Revision, request: dict[str, Any]) -> EventDraft:
    """The `features_removed` event for the ids in `request`.

    Raises:
        NotFoundError: one of them is not there.
        UsageError: there are none.
    """
    ids = list(dict.fromkeys(request["ids"]))
    with check_ids_exist(revision, "feature", ids):
        pass
    rows = {"feature_change": make_row_table("feature_change", {"change": ["removed"] * len(ids), "feature_id": ids})}
    return EventDraft("features_removed", {"request": request, "features": len(ids)}, rows)


def plan_raster_removal(revision: Revision, request: dict[str, Any]) -> EventDraft:
    """The `rasters_removed` event for the ids in `request`, with what belongs to them.

    Raises:
        NotFoundError: one of them is not there.
        UsageError: there are none.
    """
    ids = list(dict.fromkeys(request["ids"]))
    rows = make_removal_rows(revision, ids)
    counts = {f"{what}s": len(rows.get(f"{what}_change", ())) for what in ("label", "split")}
    return EventDraft("rasters_removed", {"request": request, "rasters": len(ids), **counts}, rows)


def plan_recipe_removal(revision: Revision, request: dict[str, Any]) -> EventDraft:
    """The `recipe_removed` event for the recipe named in `request`, with all that it made unless that is to be kept.

    Raises:
        NotFoundError: there is no such recipe.
    """
    given = {"name": request["name"]}
    known = [row[0] for row in revision.fetch_rows("SELECT name FROM recipes ORDER BY name")]
    if request["name"] not in known:
        raise NotFoundError(f"no recipe '{request['name']}': there are {quote_names(known, limit=20) or 'none'}")
    if request.get("keep"):
        return EventDraft("recipe_removed", {"request": request, "rasters": 0, "labels": 0, "splits": 0})
    chips = revision.fetch_rows("SELECT raster_id FROM raster_now WHERE recipe = $name ORDER BY ALL", given)
    rows = make_removal_rows(revision, [row[0] for row in chips]) if chips else {}
    for table, now, column in (
        ("label_change", "label_now", "label"),
        ("label_object_change", "label_object_now", "label"),
        ("split_change", "split_now", "split"),
    ):
        keys = revision.fetch_rows(
            f"SELECT {', '.join(KEYS[table])} FROM {now} WHERE {column} = $name ORDER BY ALL",  # noqa: S608
            given,
        )
        if keys:
            rows[table] = make_removed_rows(table, keys)
    counts = {f"{what}s": len(rows.get(f"{what}_change", ())) for what in ("raster", "label", "split")}
    return EventDraft("recipe_removed", {"request": request, **counts}, rows)
