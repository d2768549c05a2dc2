"""Flags of labels: those that are older than the features on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geographer.base.text import format_count
from geographer.diff.flags.flag import FlagCandidate, Reason

if TYPE_CHECKING:
    from geographer.storage.queries.revision import Revision

_STALE: Final = Path(__file__).with_name("stale_labels.sql")
_STALE_SCORE: Final = 1.8


def find_stale_labels(revision: Revision, new_position: int) -> Iterator[FlagCandidate]:
    """Yield the features that changed after labels which show them were last made."""
    for feature_id, position, labels, label, raster_ids in revision.fetch_rows(
        _STALE.read_text(), {"new": new_position}
    ):
        where = f"label {label} of {', '.join(raster_ids)}"
        where = where if labels <= len(raster_ids) else f"{format_count(labels, 'label')} ({where} …)"
        text = f"{where} made before this change: run geographer update"
        reason = Reason(
            "stale_label", text, _STALE_SCORE, "on labels that were made before they changed: run geographer update"
        )
        related = tuple(f"{label}/{raster_id}" for raster_id in raster_ids)
        yield FlagCandidate("feature", feature_id, f"feature {feature_id}", position, reason, related)
