"""Plan the events that remove features, rasters or recipes, with everything that depends on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geographer.base.errors import NotFoundError, quote_names
from geographer.planning.removed_rasters import (
    check_ids_exist,
    count_rows,
    make_dependent_removal_rows,
    make_removal_rows,
    make_removed_rows,
)
from geographer.storage.events import EventDraft

if TYPE_CHECKING:
    from geographer.storage.queries.revision import Revision


def plan_feature_removal(revision: Revision, request: dict[str, Any]) -> EventDraft:
    """Plan the `features_removed` event for the ids in `request`.

    Raises:
        NotFoundError: An id is not in the dataset.
        UsageError: There are no ids.
    """
    ids = list(dict.fromkeys(request["ids"]))
    check_ids_exist(revision, "feature", ids)
    rows = {"feature_change": make_removed_rows("feature_change", [(feature_id,) for feature_id in ids])}
    return EventDraft("features_removed", {"request": request, "features": len(ids)}, rows)


def plan_raster_removal(revision: Revision, request: dict[str, Any]) -> EventDraft:
    """Plan the `rasters_removed` event for the ids in `request`, including labels and split assignments.

    Raises:
        NotFoundError: An id is not in the dataset.
        UsageError: There are no ids.
    """
    ids = list(dict.fromkeys(request["ids"]))
    rows = make_removal_rows(revision, ids)
    return EventDraft("rasters_removed", {"request": request, **count_rows(rows, "raster", "label", "split")}, rows)


def plan_recipe_removal(revision: Revision, request: dict[str, Any]) -> EventDraft:
    """Plan the `recipe_removed` event for the recipe named in `request`, including its outputs unless `keep` is set.

    Raises:
        NotFoundError: There is no such recipe.
    """
    name = request["name"]
    names = [row[0] for row in revision.fetch_rows("SELECT name FROM recipes ORDER BY name")]
    if name not in names:
        raise NotFoundError(f"no recipe '{name}'. Existing: {quote_names(names, limit=20) or 'none'}.")
    rows: dict[str, Any] = {}
    if not request.get("keep"):
        query = "SELECT raster_id FROM current_raster WHERE recipe = $name ORDER BY ALL"
        chips = revision.fetch_rows(query, {"name": name})
        if chips:
            rows["raster_change"] = make_removed_rows("raster_change", chips)
        rows |= make_dependent_removal_rows(revision, [raster_id for (raster_id,) in chips], name)
    return EventDraft("recipe_removed", {"request": request, **count_rows(rows, "raster", "label", "split")}, rows)
