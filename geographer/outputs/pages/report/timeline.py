"""Timeline: the tags with their digests and signatures, and the events by kind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

from geographer.outputs.pages.report.head_facts import HeadFacts
from geographer.outputs.pages.report.report_table import Column, ReportTable, make_table
from geographer.storage.queries.revision import Revision

_KINDS: Final = Path(__file__).with_name("event_kinds.sql")


class Timeline(NamedTuple):
    """The tags, newest first, and the events by kind."""

    tags: ReportTable
    kinds: ReportTable


def read_timeline(head: HeadFacts, revision: Revision) -> Timeline:
    """Return the tags that the log has at its head, and the events that lead to the revision."""
    signed = Counter((item.signed.statement.tag, item.signed.statement.digest) for item in head.signatures)
    tags = [
        (tag, version, _name_position(position), date, author, message, signed[tag, digest], digest)
        for tag, version, position, date, author, message, digest in head.tags
    ]
    columns = [
        *(Column("Tag"), Column("Version"), Column("Revision"), Column("Date", "short"), Column("Author")),
        *(Column("Message"), Column("Signatures", "number"), Column("Event digest", "code")),
    ]
    kinds = [Column("Kind of event"), Column("Events", "number"), Column("First", "short"), Column("Last", "short")]
    rows = revision.fetch_rows(_KINDS.read_text())
    return Timeline(
        make_table("Tags, newest first", columns, tags, "geographer tags"),
        make_table("Events that lead to the revision, by kind", kinds, rows),
    )


def _name_position(position: int | None) -> str:
    return "merged" if position is None else f"@{position}"
