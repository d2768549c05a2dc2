"""Flags of splits: rasters in another subset, components that span two subsets, classes that vanished from one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from geographer.base.text import format_count
from geographer.diff.flags.flag import CandidateGroup, FlagCandidate, Reason, split_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.diff.changes import Sides
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_MOVED: Final = (
    "SELECT split, raster_id, position, change, old.part AS old, new.part AS new FROM changed_split "
    "WHERE change <> 'added' AND old.part IS DISTINCT FROM new.part ORDER BY ALL"
)
_SPAN_SCORE, _OVERLAP_SCORE, _VANISHED_SCORE, _MOVED_SCORE, _EXCLUDED_SCORE = 5.0, 4.8, 4.5, 3.0, 1.3
_LEFT_SCORE, _EMPTIED_SCORE = 0.8, 4.4


def find_moved_rasters(revision: Revision) -> Iterator[CandidateGroup]:
    """Yield the rasters that moved from one subset to another, or left one."""
    for move, rows in split_rows(revision.fetch_arrow(_MOVED), ("split", "change", "old", "new")):
        yield _make_group("chip", "raster_id", rows, partial(_describe_move, **move))


def _describe_move(row: dict[str, Any], *, split: str, change: str, old: str | None, new: str | None) -> Reason:
    text = f"moved from {old or 'no subset'} to {new or 'no subset'} in split {split}"
    score = _MOVED_SCORE if old and new else _EXCLUDED_SCORE
    if change == "removed":
        text, score = f"no longer in {old} of split {split}", _LEFT_SCORE
    return Reason("subset", text, score, text)


def _find_spanning_features(revision: Revision, positions: dict[str, int]) -> Iterator[CandidateGroup]:
    table = revision.fetch_arrow((_FOLDER / "spanning_features.sql").read_text(), positions)
    for _, rows in split_rows(table, ("split",)):
        yield _make_group("feature", "feature_id", rows, _describe_span, "raster_ids")


def _describe_span(row: dict[str, Any]) -> Reason:
    text = f"shown in several subsets of split {row['split']}: {_format_parts(row['parts'], row['raster_ids'])}"
    return Reason("spans_subsets", text, _SPAN_SCORE, f"shown in several subsets of split {row['split']}")


def _make_group(
    object: str, key: str, table: pa.Table, describe: Callable[[dict[str, Any]], Reason], related: str | None = None
) -> CandidateGroup:
    """Return the rows of a table, whose reasons have equal scores, as candidates; `key` has ids, `related` lists."""
    rows = table.combine_chunks()

    def make_candidate(index: int) -> FlagCandidate:
        row = rows.slice(index, 1).to_pylist()[0]
        others = tuple(row[related]) if related else ()
        return FlagCandidate(object, row[key], f"{object} {row[key]}", row["position"], describe(row), others)

    first = make_candidate(0).reason
    return CandidateGroup(
        object=object,
        code=first.code,
        ids=rows[key].combine_chunks(),
        positions=rows["position"].to_numpy(),
        scores=np.full(len(rows), first.score),
        make_candidate=make_candidate,
        related=rows[related].combine_chunks() if related else None,
    )


def find_leaks(revision: Revision, sides: Sides) -> Iterator[FlagCandidate | CandidateGroup]:
    """Yield features and chips that came to lie in several subsets, and classes that vanished from one."""
    if not revision.fetch_value("SELECT EXISTS (FROM state.split)"):
        return
    positions = {"old": sides.old, "new": sides.new}
    yield from _find_spanning_features(revision, positions)
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
