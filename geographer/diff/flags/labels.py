"""Flags of labels: those that are older than the features on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geographer.base.text import format_count
from geographer.diff.flags.flag import FlagCandidate, Reason

if TYPE_CHECKING:
    from geographer.diff.flags.geometry import ChangedGeometries
    from geographer.storage.queries.revision import Revision

_STALE: Final = Path(__file__).with_name("stale_labels.sql")
_STALE_SCORE: Final = 1.8
_STALE_ALIKE: Final = "changed after the labels that show them were made: run geographer update"
_MIN_PIXELS: Final = 0.1


def find_stale_labels(revision: Revision, new_position: int, geometries: ChangedGeometries) -> Iterator[FlagCandidate]:
    """Yield the features that changed after labels which show them were last made.

    A change of geometry counts from a tenth of a pixel: below that, a label made again is hardly ever another.
    """
    distances = geometries.measures.hausdorff / geometries.pixels
    unmoved = {name for name, distance in zip(geometries.ids, distances, strict=True) if distance < _MIN_PIXELS}
    rows = revision.fetch_rows(_STALE.read_text(), {"new": new_position})
    for feature_id, position, has_other_values, labels, label, raster_ids in rows:
        if feature_id in unmoved and not has_other_values:
            continue
        where = f"label {label} of {', '.join(raster_ids)}"
        where = where if labels <= len(raster_ids) else f"{format_count(labels, 'label')} ({where} …)"
        text = f"{where} made before this change: run geographer update"
        reason = Reason("stale_label", text, _STALE_SCORE, _STALE_ALIKE)
        related = tuple(f"{label}/{raster_id}" for raster_id in raster_ids)
        yield FlagCandidate("feature", feature_id, f"feature {feature_id}", position, reason, related)
