"""Limits: what the authors and the data say of limits, outdated labels, open conflicts, unreadable rows, reviews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from geographer.base.text import format_count, quote_start
from geographer.outputs.pages.report.checks import CONFLICTS, LABELS, LOG_ROWS, REVIEWS, Check
from geographer.outputs.pages.report.head_facts import HeadFacts
from geographer.outputs.pages.report.overview import NOT_DESCRIBED
from geographer.outputs.pages.report.report_table import Column, ReportTable, make_table
from geographer.outputs.release import sentences
from geographer.outputs.release.facts import ReleaseFacts
from geographer.outputs.samples.outdated_labels import OutdatedLabels, count_outdated_labels
from geographer.storage.queries.open_conflicts import list_open_conflicts
from geographer.storage.queries.revision import Revision

_SHORT_DIGEST: Final = 12
_SECTION: Final = "limits"
_UNKNOWN: Final = "cannot be determined"
_UNREADABLE: Final = "SELECT count(*) FROM current_unreadable_row"


class Limits(NamedTuple):
    """Known limits.

    Attributes:
        ethics: What the authors say of people and harm.
        sentences: Limits that the data show, and those that the authors describe.
        labels: The outdated labels by name.
        conflicts: The conflicts of merges that are open at the revision.
        reviews: The reviews of changes up to the revision.
        checks: The checks.
    """

    ethics: str
    sentences: list[str]
    labels: ReportTable
    conflicts: ReportTable
    reviews: ReportTable
    checks: list[Check]


def read_limits(head: HeadFacts, revision: Revision, facts: ReleaseFacts) -> Limits:
    """Return the known limits of a revision; the head has the reviews that were recorded after it."""
    outdated = [*count_outdated_labels(revision, [item.name for item in facts.labels])]
    conflicts = list_open_conflicts(revision)
    reviews = [row for row in head.reviews if (row["to"] or revision.position + 1) <= revision.position]
    unreadable = revision.fetch_value(_UNREADABLE)
    rows = [
        (item.label, item.labels, "cannot be determined" if item.outdated is None else f"{item.outdated:,}")
        for item in outdated
    ]
    columns = [Column("Label"), Column("Labels", "number"), Column("Outdated", "number")]
    open_rows = [(item.conflict, item.subject.replace("_", " "), item.object_id) for item in conflicts]
    return Limits(
        facts.description.find_text("ethics") or NOT_DESCRIBED,
        sentences.list_limits(facts),
        make_table("Labels that are older than features or rasters", columns, rows),
        make_table("Open conflicts of merges", [Column("Conflict"), Column("Kind"), Column("Object")], open_rows),
        _tabulate_reviews(reviews),
        [
            *_check_labels(outdated),
            _check_count(CONFLICTS, len(conflicts), f"{format_count(len(conflicts), 'conflict')} open", "none is open"),
            _check_count(
                LOG_ROWS, unreadable, f"{format_count(unreadable, 'row')} cannot be used", "each is in the tables"
            ),
            *_check_reviews(reviews),
        ],
    )


def _tabulate_reviews(reviews: Sequence[dict[str, Any]]) -> ReportTable:
    rows = [
        (
            f"@{row['position']}",
            row["verdict"],
            row["author"],
            f"{row['recorded_at']:%Y-%m-%d}",
            f"{_name_end(row, 'from')} to {_name_end(row, 'to')}",
            row["message"],
        )
        for row in reviews
    ]
    columns = [
        *(Column("Event"), Column("Verdict"), Column("Author"), Column("Date", "short"), Column("Reviewed")),
        Column("Message"),
    ]
    return make_table("Reviews of changes up to the revision", columns, rows, "geographer reviews")


def _name_end(row: dict[str, Any], end: str) -> str:
    return f"@{row[end]}" if row[end] else str(row[f"{end}_digest"])[:_SHORT_DIGEST]


def _check_labels(outdated: Sequence[OutdatedLabels]) -> list[Check]:
    wrong = [item for item in outdated if item.outdated]
    if wrong:
        texts = [f"{item.outdated:,} of {item.labels:,} labels '{quote_start(item.label)}'" for item in wrong]
        detail = f"features or rasters changed after {', '.join(texts)}; geographer update makes again what differs"
        return [Check(LABELS, "not checked", detail, _SECTION)]
    unknown = [item.label for item in outdated if item.outdated is None]
    if not outdated or len(unknown) == len(outdated):
        return [
            Check(LABELS, "not checked", "that cannot be determined" if unknown else "no recipe makes labels", _SECTION)
        ]
    rest = f"; of '{', '.join(map(quote_start, unknown))}' that {_UNKNOWN}" if unknown else ""
    return [Check(LABELS, "holds", f"recipes would make the labels again as they are{rest}", _SECTION)]


def _check_count(name: str, count: int, some: str, none: str) -> Check:
    return Check(name, "fails" if count else "holds", some if count else none, _SECTION)


def _check_reviews(reviews: Sequence[dict[str, Any]]) -> list[Check]:
    """Return a check if there are reviews: the last one of each pair of revisions counts."""
    last = {(row["from_digest"], row["to_digest"]): row["verdict"] for row in reviews}
    rejected = sum(verdict == "reject" for verdict in last.values())
    if not last:
        return [Check(REVIEWS, "not checked", "no one reviewed a change up to the revision", _SECTION)]
    detail = f"{format_count(len(last), 'change')} reviewed, {rejected:,} of them rejected at last"
    return [Check(REVIEWS, "fails" if rejected else "holds", detail, _SECTION)]
