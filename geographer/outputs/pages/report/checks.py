"""Checks: what a report compared, what it left out, and what failed, each as a row; and the verdict in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from geographer.base.text import format_count

Outcome = Literal["holds", "fails", "not checked"]

MARKS: Final = {"holds": "✓", "fails": "✗", "not checked": "○"}
"""The sign of each outcome, shown beside its words."""


class Check(NamedTuple):
    """A check.

    Attributes:
        name: What is checked.
        outcome: Whether it holds.
        detail: What was compared, or why it was not, and how to do it.
        section: The anchor of the section that says more.
    """

    name: str
    outcome: Outcome
    detail: str
    section: str

    @property
    def outcome_mark(self) -> str:
        """The sign of the outcome."""
        return MARKS[self.outcome]


class ReportVerdict(NamedTuple):
    """The verdict of a report: a sentence, and the names of the checks by outcome."""

    sentence: str
    failed: list[str]
    held: list[str]
    unchecked: list[str]


def make_verdict(checks: Sequence[Check]) -> ReportVerdict:
    """Return the verdict of these checks."""
    failed, held, unchecked = (
        [check.name for check in checks if check.outcome == outcome] for outcome in ("fails", "holds", "not checked")
    )
    done = len(failed) + len(held)
    if failed:
        sentence = f"{len(failed):,} of {format_count(done, 'check')} FAILED."
    else:
        sentence = f"{format_count(done, 'check')} made, and none failed." if done else "Nothing was checked."
    if unchecked:
        sentence += f" {len(unchecked):,} {'was' if len(unchecked) == 1 else 'were'} not made."
    return ReportVerdict(sentence, failed, held, unchecked)
