"""Outdated labels: those of samples that their recipes would make again, because features or rasters changed since."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from geographer.base.errors import NotFoundError, UsageError
from geographer.planning.recipe import list_recipes
from geographer.planning.up_to_date_labels import LabelSource
from geographer.storage.database.connection import register_table
from geographer.storage.queries.revision import Revision

logger = logging.getLogger(__name__)

_COUNTS: Final = (
    "SELECT count(*), count(*) FILTER (raster_id NOT IN (SELECT raster_id FROM up_to_date_label WHERE label = $label)) "
    "FROM current_label WHERE label = $label"
)
_COUNT: Final = "SELECT count(*) FROM current_label WHERE label = $label"
_OF_SAMPLES: Final = " AND raster_id IN (SELECT raster_id FROM sample)"


class OutdatedLabels(NamedTuple):
    """The labels of one name: their number, and how many are outdated; None: that cannot be determined."""

    label: str
    labels: int
    outdated: int | None


def count_outdated_labels(
    revision: Revision, labels: Sequence[str], *, of_samples: bool = False
) -> Iterator[OutdatedLabels]:
    """Yield how many of these labels are outdated, in the order of their recipes; only of staged samples, if asked.

    An outdated label can still come out as it is, since not every change of a feature reaches a pixel. Of custom
    labels, and masks that leave out features by an SQL expression, that cannot be determined.
    """
    condition = _OF_SAMPLES if of_samples else ""
    for recipe in list_recipes(revision) if labels else ():
        if recipe.name not in labels or not isinstance(recipe, LabelSource):
            continue
        found = None
        with suppress(NotFoundError, UsageError):
            found = recipe.find_up_to_date_labels(revision)
        if found is None:
            count = revision.fetch_value(_COUNT + condition, {"label": recipe.name})
            yield OutdatedLabels(recipe.name, count, None)
            continue
        with register_table(revision.connection, "up_to_date_label", found.labels.select(["label", "raster_id"])):
            ((count, outdated),) = revision.fetch_rows(_COUNTS + condition, {"label": recipe.name})
        yield OutdatedLabels(recipe.name, count, outdated)


def warn_of_outdated_labels(revision: Revision, labels: Sequence[str]) -> None:
    """Log a warning for each of these labels that is outdated on some staged samples."""
    for item in count_outdated_labels(revision, labels, of_samples=True):
        if item.outdated:
            logger.warning(
                "%s of %s labels '%s' may be outdated: features or rasters changed since they were made. "
                "geographer update makes those again that come out differently.",
                *(f"{item.outdated:,}", f"{item.labels:,}", item.label),
            )
