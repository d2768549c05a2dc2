"""Outdated labels: those of samples that their recipes would make again, because features or rasters changed since."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from geographer.base.errors import NotFoundError, UsageError
from geographer.planning.recipe import list_recipes
from geographer.planning.up_to_date_labels import LabelSource
from geographer.storage.database.connection import register_table
from geographer.storage.queries.revision import Revision

logger = logging.getLogger(__name__)

_COUNTS: Final = (
    "SELECT count(*), count(*) FILTER (raster_id NOT IN (SELECT raster_id FROM up_to_date_label)) "
    "FROM current_label SEMI JOIN sample USING (raster_id) WHERE label = $label"
)


def warn_of_outdated_labels(revision: Revision, labels: Sequence[str]) -> None:
    """Log a warning for each of these labels that is outdated on some staged samples.

    Of custom labels, and masks that leave out features by an SQL expression, that cannot be determined.
    """
    recipes = [recipe for recipe in list_recipes(revision) if recipe.name in labels] if labels else []
    for recipe in recipes:
        if not isinstance(recipe, LabelSource):
            continue
        with suppress(NotFoundError, UsageError):
            if found := recipe.find_up_to_date_labels(revision):
                with register_table(revision.connection, "up_to_date_label", found.labels.select(["raster_id"])):
                    ((count, outdated),) = revision.fetch_rows(_COUNTS, {"label": recipe.name})
                if outdated:
                    logger.warning(
                        "%s of %s labels '%s' are outdated: features or rasters changed since they were made. "
                        "Run geographer update.",
                        *(f"{outdated:,}", f"{count:,}", recipe.name),
                    )
