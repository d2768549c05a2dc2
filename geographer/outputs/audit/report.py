"""The report of an audit: checks with verdicts, findings, leaking pairs, and their text, JSON and HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.text import format_count

if TYPE_CHECKING:
    from geographer.outputs.audit.leaks import LeakTable

REPORT_FORMAT: Final = 1
SHOWN_EXAMPLES: Final = 3
"""The number of examples that the text shows of each check and kind of finding."""
FAILED_CHECK: Final = "failed check"
"""The kind of the findings that the text shows beside their check."""


class Verdict(StrEnum):
    """What a check found: nothing wrong, something wrong, or that it could not be made."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_CHECKED = "not checked"


class Severity(StrEnum):
    """How much a finding matters: a leak, a fault of the data, a hint that someone must look at, a note."""

    LEAK = "leak"
    FAULT = "fault"
    HINT = "hint"
    NOTE = "note"


class AuditCheck(NamedTuple):
    """One check: its name, its verdict, a sentence that explains it, and examples of what fails."""

    name: str
    verdict: Verdict
    explanation: str
    examples: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the check for JSON, without the examples."""
        return {"name": self.name, "verdict": str(self.verdict), "explanation": self.explanation}


class AuditFinding(NamedTuple):
    """Something that an audit found beside leaking pairs: its kind, severity, what it is about, and details."""

    kind: str
    severity: Severity
    subject: str
    detail: str
    fields: Mapping[str, Any] = {}

    def to_dict(self) -> dict[str, Any]:
        """Return the finding for JSON."""
        return {
            "kind": self.kind,
            "severity": str(self.severity),
            "subject": show_path(self.subject),
            "detail": show_path(self.detail),
            **self.fields,
        }

    def sort_key(self) -> tuple[str, str, str]:
        """Return what findings are ordered by."""
        return self.kind, show_path(self.subject), self.detail


@dataclass(slots=True)
class AuditReport:
    """The result of an audit.

    Attributes:
        path: The audited folder or file, as it was given.
        layout: What it was taken for.
        subsets: The number of samples in each subset, in the order train, val, test, others.
        classes: The number of samples of each class in each subset.
        checks: Each level and kind of fault with its verdict.
        leaks: The leaking pairs.
        findings: Everything else that was found.
        notes: How files were interpreted, and what was left out and why.
    """

    path: str
    layout: str
    subsets: dict[str, int]
    classes: dict[str, dict[str, int]]
    checks: list[AuditCheck]
    leaks: LeakTable
    findings: list[AuditFinding]
    notes: list[str] = field(default_factory=list)

    @property
    def is_leaking(self) -> bool:
        """Whether a pair of samples in different subsets leaks."""
        return len(self.leaks) > 0

    @property
    def is_damaged(self) -> bool:
        """Whether files cannot be read or differ from a recorded checksum, or a check of a release fails."""
        return any(finding.kind in DAMAGE for finding in self.findings)

    def iter_findings(self) -> Iterator[dict[str, Any]]:
        """Yield each leaking pair, then each other finding, and last a summary: dictionaries for JSON."""
        yield from self.leaks.iter_dicts()
        for finding in self.findings:
            yield finding.to_dict()
        yield self.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """Return the summary: verdict, subsets, checks, and counts of findings by kind."""
        counts: dict[str, int] = {}
        for finding in self.findings:
            counts[finding.kind] = counts.get(finding.kind, 0) + 1
        return {
            "kind": "summary",
            "format": REPORT_FORMAT,
            "layout": show_path(self.layout),
            "verdict": self.name_verdict(),
            "subsets": {show_path(name): count for name, count in self.subsets.items()},
            "classes": {show_path(name): dict(by_subset) for name, by_subset in self.classes.items()},
            "leaks": len(self.leaks),
            "leaks_by_kind": self.leaks.count_kinds(),
            "findings": counts,
            "checks": [check.to_dict() for check in self.checks],
            "notes": [show_path(note) for note in self.notes],
        }

    def name_verdict(self) -> str:
        """Return `leaks`, `damaged`, `not checked` (no level could be) or `nothing found`."""
        if self.is_leaking:
            return "leaks"
        if self.is_damaged:
            return "damaged"
        levels = [check for check in self.checks if check.name in LEVELS]
        return "nothing found" if any(check.verdict == Verdict.HOLDS for check in levels) else "not checked"

    def format_lines(self) -> list[str]:
        """Return the report as lines of text for people."""
        lines = [f"Audit of '{show_path(self.path)}': {show_path(self.layout)}", *self._format_subsets(), ""]
        lines += [self.format_verdict()]
        lines += _format_checks("What holds", self.checks, Verdict.HOLDS)
        lines += _format_checks("What does not hold", self.checks, Verdict.FAILS)
        lines += _format_checks("What could not be checked, and why", self.checks, Verdict.NOT_CHECKED)
        if others := [finding for finding in self.findings if finding.kind != FAILED_CHECK]:
            lines += ["", "Other findings", *_format_findings(others)]
        if self.notes:
            lines += ["", "How the files were read", *(f"  - {show_path(note)}" for note in self.notes)]
        return lines

    def format_verdict(self) -> str:
        """Return one sentence that says what the audit found."""
        failed = [check.name for check in self.checks if check.verdict == Verdict.FAILS]
        unchecked = [check.name for check in self.checks if check.verdict == Verdict.NOT_CHECKED]
        rest = f" Does not hold: {', '.join(failed)}." if failed else ""
        rest += f" Not checked: {', '.join(unchecked)}." if unchecked else ""
        verdict = self.name_verdict()
        if verdict == "leaks":
            pairs = format_count(len(self.leaks), "pair")
            return f"Verdict: IT LEAKS. {pairs} of images in different subsets share content.{rest}"
        if verdict == "damaged":
            return f"Verdict: DAMAGED OR ALTERED. Not all is as recorded; see below.{rest}"
        if verdict == "not checked":
            return f"Verdict: NO LEAKAGE COULD BE LOOKED FOR.{rest}"
        return f"Verdict: no leakage was found in what was checked.{rest}"

    def _format_subsets(self) -> list[str]:
        counts = [f"{show_path(name)} {count:,}" for name, count in self.subsets.items()]
        classes = f"; {format_count(len(self.classes), 'class')}" if self.classes else ""
        return [f"  images by subset: {', '.join(counts)}{classes}"] if counts else []

    def _repr_html_(self) -> str:
        from geographer.base.html import render_fields, render_list

        head = {"layout": show_path(self.layout), "verdict": self.format_verdict(), **self.subsets}
        checks = [check.to_dict() for check in self.checks]
        return render_fields("Audit", head) + render_list(checks) + render_list([f.to_dict() for f in self.findings])


LEVELS: Final = frozenset(
    {"identical file", "identical pixels", "near duplicate", "overlap", "distance", "shared object"}
)
"""The names of the checks that compare content: one at least must have been made to say that no leakage was found."""
DAMAGE: Final = frozenset({"checksum mismatch", "unreadable file", FAILED_CHECK})
"""The kinds of findings that mean damaged input."""


def show_path(text: str) -> str:
    """Return a path or text that UTF-8 can encode: bytes of a name that are not UTF-8 are escaped."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _format_checks(title: str, checks: list[AuditCheck], verdict: Verdict) -> list[str]:
    chosen = [check for check in checks if check.verdict == verdict]
    lines = ["", title] if chosen else []
    width = max((len(check.name) for check in chosen), default=0)
    for check in chosen:
        lines.append(f"  {check.name:<{width}}  {check.explanation}")
        lines += [f"  {'':<{width}}    e.g. {show_path(example)}" for example in check.examples[:SHOWN_EXAMPLES]]
    return lines


def _format_findings(findings: list[AuditFinding]) -> Iterator[str]:
    by_kind: dict[str, list[AuditFinding]] = {}
    for finding in findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    for kind, members in by_kind.items():
        yield f"  {kind} ({members[0].severity}): {len(members):,}"
        for finding in members[:SHOWN_EXAMPLES]:
            yield f"    {show_path(finding.subject)}: {show_path(finding.detail)}"
        if len(members) > SHOWN_EXAMPLES:
            yield f"    and {len(members) - SHOWN_EXAMPLES:,} more; --json has them"
