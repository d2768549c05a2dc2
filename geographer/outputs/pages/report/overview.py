"""Overview: what the dataset is: what its authors say, its counts, and the digests that a paper cites."""

from __future__ import annotations

from typing import Final, NamedTuple

from geographer.outputs.pages.report.head_facts import TagRow
from geographer.outputs.pages.report.report_table import Column, ReportTable, make_table
from geographer.outputs.release import sentences
from geographer.outputs.release.citation import Creators
from geographer.outputs.release.facts import ReleaseFacts
from geographer.outputs.release.licences import NO_LICENCE
from geographer.storage.queries.revision import Revision

_COUNTS: Final = ("features", "classes", "rasters", "chips", "edges", "labels", "objects", "splits", "events")
_LOG_ROOT: Final = "SELECT log_root FROM tags WHERE tag = $tag"
NOT_DESCRIBED: Final = "The authors do not say."


class Overview(NamedTuple):
    """What the dataset is.

    Attributes:
        title: The title.
        summary: What it is, in some sentences.
        intent: What it was made for.
        facts: Names and values: tag, date, authors, licence …
        counts: The numbers of objects.
        collections: What each collection of rasters holds.
        digests: The digests, each with what it covers.
    """

    title: str
    summary: str
    intent: str
    facts: list[tuple[str, str]]
    counts: ReportTable
    collections: ReportTable
    digests: ReportTable


def read_overview(revision: Revision, facts: ReleaseFacts, tag: TagRow | None) -> Overview:
    """Return what the dataset is at a revision, whose facts are given; `tag` is None if it has none."""
    creators = Creators(facts)
    described = facts.description.fields
    people = [_describe_creator(item) for item in creators.people]
    named = [
        ("Tag", tag.tag if tag else "none: a tag is a permanent name, which a paper cites"),
        ("Version", _describe_version(facts, tag)),
        ("Revision", f"@{facts.tag.position} of {len(facts.events):,} events"),
        ("Recorded", f"{facts.tag.recorded_at[:10]} by {facts.tag.author}"),
        ("Message", facts.tag.message),
        ("Previous tag", facts.previous_tag or ""),
        ("Creators", "; ".join(people) + ("" if described.get("creators") else " (the authors of the log)")),
        ("Licence", "not stated" if creators.licence_name == NO_LICENCE else creators.licence_name),
        ("Web page", creators.described_url),
        *((name, str(value)) for name, value in facts.attributes.items()),
    ]
    return Overview(
        sentences.make_title(facts),
        sentences.make_summary(facts),
        facts.description.find_text("intent") or NOT_DESCRIBED,
        [(name, value) for name, value in named if value],
        _count_objects(revision),
        _describe_collections(facts),
        _list_digests(revision, facts, tag.tag if tag else None),
    )


def _describe_version(facts: ReleaseFacts, tag: TagRow | None) -> str:
    """Return the version; citations have that of the tag's name if none was recorded."""
    if tag is None:
        return ""
    return tag.version or f"none recorded: citations have {facts.tag.version}, from the tag's name"


def _describe_creator(item: object) -> str:
    fields = dict(item) if isinstance(item, dict) else {}
    extra = [fields[name] for name in ("affiliation", "orcid") if fields.get(name)]
    return str(fields.get("name", "")) + (f" ({', '.join(extra)})" if extra else "")


def _count_objects(revision: Revision) -> ReportTable:
    """Return the numbers of rows of the tables of the revision."""
    rows = [(name, revision.fetch_value(f"SELECT count(*) FROM {name}")) for name in _COUNTS]  # noqa: S608
    return make_table("Objects of the revision", [Column("Table"), Column("Rows", "number")], rows)


def _describe_collections(facts: ReleaseFacts) -> ReportTable:
    rows = [
        (item.name, item.rasters, sentences.format_size(item.bytes), sentences.describe_collection(item))
        for item in facts.collections
    ]
    columns = [Column("Collection"), Column("Rasters", "number"), Column("Bytes", "number"), Column("What it holds")]
    return make_table("Collections of rasters and chips", columns, rows)


def _list_digests(revision: Revision, facts: ReleaseFacts, tag: str | None) -> ReportTable:
    rows = [
        ("Event digest", facts.tag.digest, "the history up to the revision"),
        ("Content digest", facts.tag.content_digest, "the data, whatever their history"),
        ("Merkle root", facts.tag.merkle_root, "single objects, for proofs"),
        ("Log root", revision.fetch_value(_LOG_ROOT, {"tag": tag}) if tag else None, "single events, for proofs"),
        ("Dataset", facts.dataset, "the first event, which identifies the dataset"),
    ]
    columns = [Column("Digest"), Column("SHA-256", "code"), Column("What it covers")]
    return make_table("Digests", columns, [row for row in rows if row[1]])
