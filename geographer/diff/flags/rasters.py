"""Flags of rasters: chips whose source was altered, and chips that changed although it was not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geographer.base.text import format_count
from geographer.diff.flags.flag import FlagCandidate, Reason
from geographer.diff.pixels import FileChange, has_more_nodata

if TYPE_CHECKING:
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_OLD_CHIPS_SCORE, _NEW_CHIPS_SCORE, _EQUAL_PIXELS_SCORE, _ALTERED_CHIP_SCORE = 2.5, 1.0, 0.95, 1.7
_NODATA_SCORE: Final = 2.0
_SOURCE_REMOVED: Final = (2.4, "removed, with chips that are cut from them")


def find_altered_rasters(revision: Revision, new_position: int) -> Iterator[FlagCandidate]:
    """Yield the rasters that were replaced by other bytes, and the chips that changed without such a cause."""
    rows = revision.fetch_rows((_FOLDER / "altered_sources.sql").read_text(), {"new": new_position})
    for raster_id, position, has_other_pixels, chips, old_chips, chip_ids in rows:
        reason = _describe_source(bool(has_other_pixels), chips, old_chips, chip_ids)
        yield FlagCandidate("raster", raster_id, f"raster {raster_id}", position, reason, tuple(chip_ids))
    rows = revision.fetch_rows((_FOLDER / "removed_sources.sql").read_text(), {"new": new_position})
    for raster_id, position, chips, chip_ids in rows:
        names = f"{', '.join(chip_ids)}{' …' if chips > len(chip_ids) else ''}"
        reason = Reason(
            "source_removed", f"removed; source of {format_count(chips, 'chip')} ({names})", *_SOURCE_REMOVED
        )
        yield FlagCandidate("raster", raster_id, f"raster {raster_id}", position, reason, tuple(chip_ids))
    for raster_id, position in revision.fetch_rows((_FOLDER / "altered_chips.sql").read_text()):
        text = "other pixels, although the raster that it is cut from did not change"
        reason = Reason("chip_altered", text, _ALTERED_CHIP_SCORE, "cut with other pixels from unchanged rasters")
        yield FlagCandidate("chip", raster_id, f"chip {raster_id}", position, reason)


def find_altered_pixels(files: Iterable[FileChange]) -> Iterator[FlagCandidate]:
    """Yield the rasters and chips whose share of pixels without data grew by more than 1 %."""
    for file in files:
        if file.change is None or not has_more_nodata(file):
            continue
        old, new = (count / file.change.pixels for count in (file.change.old_nodata, file.change.new_nodata))
        score = _NODATA_SCORE + file.nodata_growth
        reason = Reason("nodata", f"pixels without data grew from {old:.0%} to {new:.0%}", score, "got more nodata")
        yield FlagCandidate(file.kind, file.id, f"{file.kind} {file.id}", file.position, reason)


def _describe_source(has_other_pixels: bool, chips: int, old_chips: int, chip_ids: list[str]) -> Reason:
    subject = "pixels" if has_other_pixels else "bytes (not pixels)"
    names = f" ({', '.join(chip_ids)}{' …' if chips > len(chip_ids) else ''})" if chip_ids else ""
    if old_chips:
        text = f"{subject} altered; {format_count(old_chips, 'chip')} still cut from the former ones{names}"
        score = _OLD_CHIPS_SCORE
    else:
        text = f"{subject} altered" + (f"; source of {format_count(chips, 'chip')}{names}" if chips else "")
        score = _NEW_CHIPS_SCORE if chips else _ALTERED_CHIP_SCORE
    alike = f"{subject} altered" + (", chips still cut from the former ones" if old_chips else "")
    return Reason("source_altered", text, score if has_other_pixels else _EQUAL_PIXELS_SCORE, alike)
