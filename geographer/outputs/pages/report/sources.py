"""Sources: where features and rasters come from, and which licence they have, with who says so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.text import format_count
from geographer.outputs.pages.report.checks import LICENCES, Check
from geographer.outputs.pages.report.report_table import Column, ReportTable, make_table
from geographer.outputs.release import sentences
from geographer.outputs.release.facts import ReleaseFacts
from geographer.storage.queries.revision import Revision

_RASTERS: Final = Path(__file__).with_name("sources.sql")
_FEATURES: Final = Path(__file__).with_name("feature_sources.sql")
UNKNOWN: Final = "⚠ unknown"
_FOLDERS: Final = re.compile(r".*[/\\](?=.)")


class Sources(NamedTuple):
    """The sources of rasters and of features, and the rasters whose licence is unknown, of all."""

    rasters: ReportTable
    features: ReportTable
    unknown: int
    total: int

    def make_check(self) -> Check:
        """Return the check whether each source has a licence."""
        if not self.total:
            return Check(LICENCES, "not checked", "the revision has no rasters", "sources")
        detail = f"{self.unknown:,} of {format_count(self.total, 'raster')} that are no chips have no stated licence"
        if not self.unknown:
            detail = "each source of rasters has a stated licence; whether it is right cannot be computed"
        return Check(LICENCES, "fails" if self.unknown else "holds", detail, "sources")


def read_sources(revision: Revision, facts: ReleaseFacts) -> Sources:
    """Return the sources of a revision."""
    described: Mapping[str, str] = facts.description.fields.get("source_licences", {})
    made = {item.name for item in facts.collections if item.is_made_by_command}
    found = revision.fetch_rows(_RASTERS.read_text())
    rows = [_describe_source(row, described, made) for row in found]
    licence = 4
    unknown = sum(row[4] for row, cells in zip(found, rows, strict=True) if cells[licence] == UNKNOWN)
    total = sum(row[4] for row, cells in zip(found, rows, strict=True) if cells[licence])
    columns = [
        *(Column("Collection"), Column("Rasters", "number"), Column("Bytes", "number"), Column("Provider")),
        *(Column("Licence"), Column("Who says so"), Column("Acquired")),
    ]
    table = make_table("Sources of rasters", columns, rows, "geographer rasters")
    return Sources(table, _tabulate_features(revision), unknown, total)


def _describe_source(row: Sequence[Any], described: Mapping[str, str], made: set[str]) -> tuple[Any, ...]:
    collection, provider, platform, licence, rasters, size, first, last = row
    where = " ".join(filter(None, (provider, platform))) or "not recorded"
    stated, who = licence or UNKNOWN, "the archive, with each raster" if licence else "no one"
    if collection in described:
        stated, who = described[collection], "the authors (geographer describe)"
    elif collection in made:
        stated, who, where = "", "made by an outside step from the sources above", "this dataset"
    acquired = f"{first:%Y-%m-%d} to {last:%Y-%m-%d}" if first and last else "not known"
    return collection, rasters, sentences.format_size(size), where, stated, who, acquired


def _tabulate_features(revision: Revision) -> ReportTable:
    """Return the events that recorded the features as they are now; of files only the names, without folders."""
    rows = [
        (f"@{position}", features, kind.replace("_", " "), _FOLDERS.sub("", source or ""), recorded_at[:10], author)
        for position, kind, recorded_at, author, source, features in revision.fetch_rows(_FEATURES.read_text())
    ]
    columns = [
        *(Column("Event"), Column("Features", "number"), Column("Kind"), Column("File"), Column("Date", "short")),
        Column("Author"),
    ]
    caption = "Sources of features: the events that recorded them as they are now"
    return make_table(caption, columns, rows, "geographer log")
