"""Flags of splits: rasters in another subset, components that span two subsets, classes that vanished from one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geographer.base.text import format_count
from geographer.diff.flags.flag import FlagCandidate, Reason

if TYPE_CHECKING:
    from geographer.diff.changes import Sides
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_MOVED: Final = (
    "SELECT split, raster_id, position, change, old.part, new.part FROM changed_split "
    "WHERE change <> 'added' AND old.part IS DISTINCT FROM new.part ORDER BY ALL"
)
_SPAN_SCORE, _OVERLAP_SCORE, _VANISHED_SCORE, _MOVED_SCORE, _EXCLUDED_SCORE = 5.0, 4.8, 4.5, 3.0, 1.3
_LEFT_SCORE, _EMPTIED_SCORE = 0.8, 4.4


def find_moved_rasters(revision: Revision) -> Iterator[FlagCandidate]:
    """Yield the rasters that moved from one subset to another, or left one."""
    for split, raster_id, position, change, old, new in revision.fetch_rows(_MOVED):
        text = f"moved from {old or 'no subset'} to {new or 'no subset'} in split {split}"
        score = _MOVED_SCORE if old and new else _EXCLUDED_SCORE
        if change == "removed":
            text, score = f"no longer in {old} of split {split}", _LEFT_SCORE
        yield FlagCandidate("chip", raster_id, f"chip {raster_id}", position, Reason("subset", text, score, text))


def find_leaks(revision: Revision, sides: Sides) -> Iterator[FlagCandidate]:
    """Yield features and chips that came to lie in several subsets, and classes that vanished from one."""
    if not revision.fetch_value("SELECT EXISTS (FROM state.split)"):
        return
    positions = {"old": sides.old, "new": sides.new}
    rows = revision.fetch_rows((_FOLDER / "spanning_features.sql").read_text(), positions)
    for split, feature_id, parts, raster_ids, position in rows:
        text = f"shown in several subsets of split {split}: {_format_parts(parts, raster_ids)}"
        reason = Reason("spans_subsets", text, _SPAN_SCORE, f"shown in several subsets of split {split}")
        yield FlagCandidate("feature", feature_id, f"feature {feature_id}", position, reason, tuple(raster_ids))
    rows = revision.fetch_rows((_FOLDER / "overlapping_chips.sql").read_text(), positions)
    for split, chip, other, part, other_part, position in rows:
        text = f"shares pixels with {other} in another subset of split {split} ({part}, {other_part})"
        reason = Reason("spans_subsets", text, _OVERLAP_SCORE, f"share pixels across subsets of split {split}")
        yield FlagCandidate("chip", chip, f"chip {chip}", position, reason, (other,))
    rows = revision.fetch_rows((_FOLDER / "emptied_subsets.sql").read_text(), positions)
    for split, part, rasters, position in rows:
        text = f"{part} has no rasters any more ({format_count(rasters, 'raster')} before)"
        yield FlagCandidate(
            "split", split, f"split {split}", position, Reason("subset_emptied", text, _EMPTIED_SCORE, text)
        )
    rows = revision.fetch_rows((_FOLDER / "vanished_classes.sql").read_text(), positions)
    for split, part, class_name, features, position in rows:
        text = f"vanished from {part} of split {split} ({format_count(features, 'feature')} before)"
        reason = Reason("class_vanished", text, _VANISHED_SCORE, f"vanished from {part}")
        yield FlagCandidate("class", class_name, f"class {class_name}", position, reason)


def _format_parts(parts: list[str], raster_ids: list[str]) -> str:
    return ", ".join(f"{part} ({raster_id})" for part, raster_id in zip(parts, raster_ids, strict=True))
