"""Checks: what a report compared, what it left out, and what failed, each as a row; and the verdict in plain words.

The name of a check is the claim that holds, fails or was not checked. docs/evidence.md lists the names, which stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from geographer.base.text import format_count

Outcome = Literal["holds", "fails", "not checked"]

CONTENT_DIGEST: Final = "content digest as recorded"
LICENCES: Final = "licences stated for all sources"
LABELS: Final = "labels up to date"
CONFLICTS: Final = "no open conflicts of merges"
LOG_ROWS: Final = "all rows of the log usable"
REVIEWS: Final = "no change rejected by reviewers"
FILES: Final = "files as recorded"
RERUN: Final = "derived files the same in a rerun"
ARCHIVES: Final = "rasters the same in their archives"
SIGNATURE: Final = "signature matches the log"
LEAKAGE: Final = "no leakage between subsets"
"""The check of a revision without splits; see `name_leakage_check`."""

MARKS: Final = {"holds": "✓", "fails": "✗", "not checked": "○"}
"""The sign of each outcome, shown beside its words."""


class Check(NamedTuple):
    """A check.

    Attributes:
        name: The claim that is checked.
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


def name_leakage_check(split: str, *, is_given: bool) -> str:
    """Return the name of the check of a split's certificate; `is_given`: the certificate was given as a file."""
    return f"no leakage in split '{split}'{', by a given certificate' if is_given else ''}"


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
