"""The report of a rerun: a result for each file, each event and each version of software, as rows and as sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from geographer.base.html import render_fields
from geographer.base.text import format_count
from geographer.outputs.rerun.compare import FileDifference, Result
from geographer.outputs.rerun.plans import PlanDifference
from geographer.outputs.rerun.software import VersionDifference

RESULTS: Final[tuple[Result, ...]] = ("identical bytes", "identical pixels", "different", "not made")

_MAX_LISTED: Final = 20
_MAX_NAMES: Final = 5


class FileResult(NamedTuple):
    """What came of one file.

    Attributes:
        label: The name of the label; None: the file is a chip or another raster.
        raster_id: The id of the raster, or of that which the label is of.
        path: The recorded path.
        result: Whether the file that was made again is the recorded one.
        event: The digest of the event that made it; None if no event of the log did.
        position: The position of that event in its chain.
        reason: Why it could not be made again, or compared.
        difference: What differs.
    """

    label: str | None
    raster_id: str
    path: str
    result: Result
    event: str | None = None
    position: int | None = None
    reason: str | None = None
    difference: FileDifference | None = None

    @property
    def name(self) -> str:
        """The name of the file's object, as `why` takes it."""
        return f"label:{self.label}/{self.raster_id}" if self.label else self.raster_id

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON."""
        fields = {name: value for name, value in self._asdict().items() if value is not None}
        if self.difference is not None:
            fields["difference"] = self.difference.to_dict()
        return {"row": "file", **fields}

    def format_text(self, name: str) -> str:
        """Return the result of a file with this name in words."""
        phrases = [self.reason] if self.reason else []
        phrases += self.difference.list_phrases() if self.difference else []
        return f"{self.result}: {name}" + (f": {'; '.join(phrases)}" if phrases else "")


class EventResult(NamedTuple):
    """What came of one event: whether its plan and the software are as they were.

    Attributes:
        event: The event's digest.
        position: Its position in its chain.
        kind: Its kind.
        name: The name of the recipe or of what the command made.
        plan: 'same' if the same windows and objects are chosen, 'different', or 'not made'.
        differences: Where the plan differs.
        software: The versions that differ on this machine.
        reason: Why no plan could be made.
    """

    event: str
    position: int
    kind: str
    name: str
    plan: str
    differences: list[PlanDifference]
    software: list[VersionDifference]
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON."""
        fields = {name: value for name, value in self._asdict().items() if value is not None}
        fields["differences"] = [item.to_dict() for item in self.differences]
        fields["software"] = [item._asdict() for item in self.software]
        return {"row": "event", **fields}


class RerunReport(NamedTuple):
    """What came of making the derived files of a revision again.

    Attributes:
        position: The position of the revision.
        digest: The digest of its event.
        files: A result for each chip, label and other file that the log's events made.
        events: A result for each event that made one of them.
    """

    position: int
    digest: str
    files: list[FileResult]
    events: list[EventResult]

    @property
    def is_identical(self) -> bool:
        """Whether all files were made again with the same bytes or pixels, by the same plans."""
        return all(item.result.startswith("identical") for item in self.files) and all(
            item.plan == "same" for item in self.events
        )

    def count_results(self) -> dict[str, int]:
        """Return the number of files by result."""
        counts = Counter(item.result for item in self.files)
        return {result: counts[result] for result in RESULTS}

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON."""
        plans = Counter(item.plan for item in self.events)
        return {
            "row": "summary",
            "position": self.position,
            "digest": self.digest,
            "files": len(self.files),
            **self.count_results(),
            "events": len(self.events),
            "other plans": plans["different"] + plans["not made"],
            "identical": self.is_identical,
        }

    def iter_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the report as JSON: a row for each event, for each file, and the summary."""
        yield from (item.to_dict() for item in self.events)
        yield from (item.to_dict() for item in self.files)
        yield self.to_dict()

    def iter_lines(self) -> Iterator[str]:
        """Yield the report as sentences."""
        yield (
            f"{format_count(len(self.files), 'derived file')} of @{self.position} {self.digest[:12]} from "
            f"{format_count(len(self.events), 'event')}, made again in a scratch folder:"
        )
        yield from (f"  {count:>7,} {result}" for result, count in self.count_results().items() if count)
        yield from self._iter_file_lines()
        yield from self._iter_plan_lines()
        yield from self._iter_software_lines()
        yield self._format_verdict()

    def _iter_file_lines(self) -> Iterator[str]:
        """Yield a line for each file that does not have identical bytes, and one for all files of one reason."""
        names_by_text: dict[str, list[str]] = {}
        for item in self.files:
            if item.result != "identical bytes":
                names_by_text.setdefault(item.format_text("{}"), []).append(item.name)
        for text, names in names_by_text.items():
            shown = ", ".join(names[:_MAX_NAMES])
            rest = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
            yield text.replace("{}", shown + rest, 1)

    def _iter_plan_lines(self) -> Iterator[str]:
        same = sum(item.plan == "same" for item in self.events)
        if self.events:
            yield f"Plans: {same:,} of {format_count(len(self.events), 'event')} choose the same windows and objects."
        for item in self.events:
            name = f"@{item.position} {item.kind} '{item.name}'"
            if item.reason:
                yield f"plan not made: {name}: {item.reason}"
            for difference in item.differences[:_MAX_LISTED]:
                yield f"other plan: {name}: {difference.format_text()}"
            if (rest := len(item.differences) - _MAX_LISTED) > 0:
                yield f"other plan: {name}: {rest:,} more; --json lists them"

    def _iter_software_lines(self) -> Iterator[str]:
        positions: dict[VersionDifference, list[int]] = {}
        for item in self.events:
            for difference in item.software:
                positions.setdefault(difference, []).append(item.position)
        if self.events and not positions:
            yield "Software: all recorded versions are those of this machine."
        for difference, events in positions.items():
            shown = ", ".join(f"@{position}" for position in events[:5]) + (" …" if len(events) > 5 else "")
            yield f"other software: {difference.format_text()} ({shown})"

    def _format_verdict(self) -> str:
        counts = self.count_results()
        if not self.files:
            return "There is nothing to make again: the revision has no chips, labels or outputs of commands."
        if self.is_identical:
            return "Every derived file comes out as recorded."
        wrong = counts["different"], counts["not made"]
        unmade = sum(bool(item.reason) for item in self.events)
        plans = sum(item.plan != "same" for item in self.events) - unmade
        parts = [
            f"{format_count(wrong[0], 'file')} came out otherwise" if wrong[0] else "",
            f"{format_count(wrong[1], 'file')} could not be made again" if wrong[1] else "",
            f"{format_count(plans, 'plan')} chose otherwise" if plans else "",
            f"{format_count(unmade, 'event')} could not be repeated" if unmade else "",
        ]
        head = "Not all is as recorded" if wrong[0] or plans else "Not all could be compared"
        return f"{head}: {', '.join(filter(None, parts))}."

    def _repr_html_(self) -> str:
        listed = [item for item in self.files if item.result != "identical bytes"]
        return render_fields("RerunReport", {**self.to_dict(), "other files": [item.to_dict() for item in listed]})
