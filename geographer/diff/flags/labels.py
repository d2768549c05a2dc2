"""Flags of labels: those that are older than the features on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geographer.base.text import format_count
from geographer.diff.flags.flag import CandidateGroup, FlagCandidate, Reason

if TYPE_CHECKING:
    from geographer.diff.flags.geometry import ChangedGeometries
    from geographer.storage.queries.revision import Revision

_STALE: Final = Path(__file__).with_name("stale_labels.sql")
_STALE_SCORE: Final = 1.8
_STALE_ALIKE: Final = "changed after the labels that show them were made: run geographer update"
_MIN_PIXELS: Final = 0.1


def find_stale_labels(revision: Revision, new_position: int, geometries: ChangedGeometries) -> Iterator[CandidateGroup]:
    """Yield the features that changed after labels which show them were last made.

    A change of geometry counts from a tenth of a pixel: below that, a label made again is hardly ever another.
    """
    distances = geometries.measures.hausdorff / geometries.pixels
    unmoved = geometries.ids.filter(pa.array(distances < _MIN_PIXELS))
    table = revision.fetch_arrow(_STALE.read_text(), {"new": new_position})
    is_stale = pc.or_(table["has_other_values"], pc.invert(pc.is_in(table["feature_id"], unmoved)))
    rows = table.filter(is_stale).combine_chunks()
    if not len(rows):
        return

    def make_candidate(index: int) -> FlagCandidate:
        return _describe_stale(**rows.slice(index, 1).to_pylist()[0])

    scores = np.full(len(rows), _STALE_SCORE)
    ids, related = (rows[name].combine_chunks() for name in ("feature_id", "label_ids"))
    yield CandidateGroup("feature", "stale_label", ids, rows["position"].to_numpy(), scores, make_candidate, related)


def _describe_stale(
    feature_id: str,
    position: int,
    labels: int,
    label: str,
    raster_ids: list[str],
    label_ids: list[str],
    has_other_values: bool,
) -> FlagCandidate:
    where = f"label {label} of {', '.join(raster_ids)}"
    where = where if labels <= len(raster_ids) else f"{format_count(labels, 'label')} ({where} …)"
    text = f"{where} made before this change: run geographer update"
    reason = Reason("stale_label", text, _STALE_SCORE, _STALE_ALIKE)
    return FlagCandidate("feature", feature_id, f"feature {feature_id}", position, reason, tuple(label_ids))
