"""The report of archives that were asked again: a result for each downloaded raster, and its drift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from geographer.base.html import render_fields
from geographer.base.text import format_count
from geographer.outputs.rerun.compare import FileDifference
from geographer.outputs.rerun.report import FileResult

RESULTS: Final = ("same", "reprocessed", "altered", "gone", "not asked")


class Drift(NamedTuple):
    """How far chips or labels that are made from another scene are from the recorded ones.

    Attributes:
        files: Their number.
        changed: How many of them differ in pixels.
        max_difference: The largest absolute difference of a pixel value; None if it is not a number.
        mean_difference: The mean absolute difference over all pixels of all of them.
        not_made: How many could not be made from the other scene.
    """

    files: int
    changed: int
    max_difference: float | None
    mean_difference: float
    not_made: int

    def format_text(self, noun: str) -> str:
        """Return the drift in words."""
        text = f"{format_count(self.files, noun)}, of which {self.changed:,} differ"
        if self.changed:
            largest = "" if self.max_difference is None else f" by at most {self.max_difference:g}"
            text += f"{largest} (mean {self.mean_difference:.3g})"
        return text + (f", {self.not_made:,} cannot be made" if self.not_made else "")


def summarize_drift(files: Sequence[FileResult]) -> Drift:
    """Return the drift of files that were compared."""
    changed = [item for item in files if item.result == "different"]
    sizes = [item.difference.max_difference for item in changed if item.difference]
    pixels = [item.difference.pixels or 0 for item in files if item.difference]
    means = [item.difference.mean_difference or 0.0 for item in files if item.difference]
    others = len(files) - len(pixels)
    average = sum(pixels) / len(pixels) if pixels else 0.0
    total = sum(pixels) + others * average
    mean = sum(mean * count for mean, count in zip(means, pixels, strict=True)) / total if total else 0.0
    largest = max((size for size in sizes if size is not None), default=None)
    not_made = sum(item.result == "not made" for item in files)
    return Drift(len(files), len(changed), largest, mean, not_made)


class RasterAnswer(NamedTuple):
    """What the archive of a downloaded raster would give today.

    Attributes:
        raster_id: The raster.
        result: 'same', 'reprocessed', 'altered', 'gone' or 'not asked'.
        provider: Who runs the archive.
        collection: The archive's collection.
        product_id: The product that was fetched.
        given: The product that the archive would give, if it is another one.
        baseline: The processing baseline of that product.
        newer: A newer processing that the archive has beside the same product.
        same_bytes: Whether the new GeoTIFF has the same bytes.
        reason: Why it was not asked, or what is to be said.
        difference: How the pixels differ, band by band.
        chips: The drift of the chips that are cut from it.
        labels: The drift of the labels that read its pixels, or those of its chips.
    """

    raster_id: str
    result: str
    provider: str | None
    collection: str | None
    product_id: str
    given: str | None = None
    baseline: str | None = None
    newer: str | None = None
    same_bytes: bool | None = None
    reason: str | None = None
    difference: FileDifference | None = None
    chips: Drift | None = None
    labels: Drift | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON."""
        fields = {name: value for name, value in self._asdict().items() if value is not None}
        for name in ("chips", "labels"):
            if name in fields:
                fields[name] = fields[name]._asdict()
        if self.difference is not None:
            fields["difference"] = self.difference.to_dict()
        return {"row": "raster", **fields}

    def format_text(self) -> str:
        """Return the answer in words."""
        phrases = [f"'{self.given}' in its place" if self.given else ""]
        phrases += [f"processing baseline {self.baseline}" if self.given and self.baseline else ""]
        phrases += [f"the archive has a newer processing, too: '{self.newer}'" if self.newer else "", self.reason or ""]
        phrases += self.difference.list_phrases() if self.difference else []
        if self.chips is not None:
            phrases.append(self.chips.format_text("chip"))
        if self.labels is not None:
            phrases.append(self.labels.format_text("label"))
        known = [phrase for phrase in phrases if phrase]
        return f"{self.result}: {self.raster_id}" + (f": {'; '.join(known)}" if known else "")


class ArchiveReport(NamedTuple):
    """What the archives of all downloaded rasters of a revision would give today."""

    position: int
    digest: str
    rasters: list[RasterAnswer]

    @property
    def is_same(self) -> bool:
        """Whether all archives would give the same."""
        return all(item.result == "same" for item in self.rasters)

    @property
    def is_answered(self) -> bool:
        """Whether all archives were asked."""
        return all(item.result != "not asked" for item in self.rasters)

    def count_results(self) -> dict[str, int]:
        """Return the number of rasters by result."""
        counts = Counter(item.result for item in self.rasters)
        return {result: counts[result] for result in RESULTS}

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON."""
        counts = {"rasters": len(self.rasters), **self.count_results()}
        return {"row": "archive summary", "position": self.position, "digest": self.digest, **counts}

    def iter_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the report as JSON: a row for each raster, and the summary."""
        yield from (item.to_dict() for item in self.rasters)
        yield self.to_dict()

    def iter_lines(self) -> Iterator[str]:
        """Yield the report as sentences."""
        count = format_count(len(self.rasters), "downloaded raster")
        yield f"{count} of @{self.position} {self.digest[:12]}, asked for at their archives today:"
        yield from (f"  {number:>7,} {result}" for result, number in self.count_results().items() if number)
        yield from (item.format_text() for item in self.rasters)
        if not self.rasters:
            yield "There is nothing to ask for: no download fetched a raster of the revision."
        elif self.is_same:
            yield "The archives would give the same today."
        else:
            counts = self.count_results()
            others = [f"{counts[name]:,} {name}" for name in RESULTS[1:] if counts[name]]
            yield f"Not all is as it was: {', '.join(others)}."

    def _repr_html_(self) -> str:
        return render_fields("ArchiveReport", {**self.to_dict(), "answers": [item.to_dict() for item in self.rasters]})
