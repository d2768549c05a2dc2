"""Leakage: the certificate of each split, computed for the report, and those that were given as files, as tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from geographer.base.errors import NotFoundError, StorageError, UsageError
from geographer.base.text import format_count
from geographer.outputs.certificate.certificate import (
    FORMAT,
    HOLDS,
    KIND,
    LEAKS,
    LEFT_OUT_PHRASES,
    LEVEL_TITLES,
    Certificate,
    describe_counts,
    describe_share,
)
from geographer.outputs.certificate.certify import certify_split
from geographer.outputs.certificate.objects import find_declared_filter
from geographer.outputs.pages.report.checks import LEAKAGE, Check, Outcome, name_leakage_check
from geographer.outputs.pages.report.report_table import MAX_ROWS, Column, ReportTable, make_table
from geographer.outputs.release.facts import ReleaseFacts
from geographer.storage.queries.revision import Revision
from geographer.storage.unit_of_work import UnitOfWork

_SECTION: Final = "leakage"
_LEVEL_FACTS: Final = frozenset({"holds", "reason", "leaks", "subsets", "rasters"})
_WORDS: Final[dict[bool | None, str]] = {True: "✓ holds", False: "✗ LEAKS", None: "○ not checked"}
_VERDICTS: Final = {
    HOLDS: "The subsets share nothing on the levels that were checked.",
    LEAKS: "The subsets LEAK.",
}
_MAX_NAMES: Final = 5


class LeakageOptions(NamedTuple):
    """How splits are certified; see `certify_split`. Without `where`, the features count that the split declared."""

    buffer: float | None = None
    duplicates: bool = False
    where: str | None = None


class CertifiedSplit(NamedTuple):
    """A certificate as the page shows it.

    Attributes:
        split: The split.
        origin: Where the certificate comes from: computed here, or a file.
        outcome: Whether the split holds.
        verdict: The verdict in words.
        parameters: Names and values: buffer, which features count.
        subsets: The number of rasters by subset.
        levels: The outcome of each level.
        leaks: The pairs of rasters that leak.
        distances: The smallest distance of each two subsets.
        left_out: The rasters that are not covered.
    """

    split: str
    origin: str
    outcome: Outcome
    verdict: str
    parameters: list[tuple[str, str]]
    subsets: ReportTable
    levels: ReportTable
    leaks: ReportTable
    distances: ReportTable
    left_out: ReportTable


class _Document(msgspec.Struct):
    """A leakage certificate as JSON; see `schemas/certificate.v1.json`."""

    format: int
    kind: str
    digest: str
    split: str
    subsets: dict[str, int]
    empty_subsets: list[str]
    not_covered: dict[str, dict[str, Any]]
    parameters: dict[str, Any]
    levels: dict[str, dict[str, Any]]
    verdict: str


def certify_splits(
    work: UnitOfWork, revision: Revision, splits: Sequence[str], options: LeakageOptions
) -> list[CertifiedSplit]:
    """Certify these splits at the revision."""
    return [_make_report(_certify_one_split(work, revision, split, options).to_dict(), _COMPUTED) for split in splits]


_COMPUTED: Final = "computed when this page was made"


def list_certify_options(revision: Revision, split: str, options: LeakageOptions) -> list[str]:
    """Return the options of the command `certify` with which a reader computes the same."""
    where = _choose_filter(revision, split, options)
    words = [] if options.buffer is None else ["--buffer", f"{options.buffer:g}"]
    return words if where is None else [*words, "--where", where]


def _choose_filter(revision: Revision, split: str, options: LeakageOptions) -> str | None:
    return find_declared_filter(revision, split) if options.where is None else options.where


def _certify_one_split(work: UnitOfWork, revision: Revision, split: str, options: LeakageOptions) -> Certificate:
    where = _choose_filter(revision, split, options)
    return certify_split(work, revision, split, buffer=options.buffer, duplicates=options.duplicates, where=where)


def read_certificates(paths: Sequence[Path], facts: ReleaseFacts) -> list[CertifiedSplit]:
    """Read certificates from files that `certify --to` wrote.

    Raises:
        NotFoundError: there is no such file.
        UsageError: a file is no certificate, or one of another revision.
    """
    return [_read_certificate(path, facts) for path in paths]


def _read_certificate(path: Path, facts: ReleaseFacts) -> CertifiedSplit:
    content = read_given_file(path, "certificate")
    try:
        document = msgspec.json.decode(content, type=_Document)
        if (document.kind, document.format) != (KIND, FORMAT):
            raise msgspec.ValidationError(f"it is '{document.kind}' of format {document.format}")
        report = _make_report(json.loads(content), f"read from the file {path.name}, not computed for this page")
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"'{path}' is no leakage certificate: {error}. Write one: geographer certify {facts.tag.name} --split NAME "
            "--to FILE"
        ) from error
    if document.digest != facts.tag.digest:
        raise UsageError(
            f"the certificate in '{path}' is of the revision {document.digest[:12]}, not of {facts.tag.name} "
            f"{facts.tag.digest[:12]}. Write one of this revision: geographer certify {facts.tag.name} --split NAME "
            "--to FILE"
        )
    digest = hashlib.sha256(content).hexdigest()
    return report._replace(parameters=[*report.parameters, ("SHA-256 of the file", digest)])


def read_given_file(path: Path, noun: str) -> bytes:
    """Return the content of a file that a user names; errors as for `read_certificates`."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no {noun} '{path}'. Name an existing file.") from error
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read the {noun} '{path}': {error}. Name a file that can be read.") from error


def _make_report(document: dict[str, Any], origin: str) -> CertifiedSplit:
    holds = [level["holds"] for level in document["levels"].values()]
    verdict = LEAKS if False in holds else document["verdict"]
    is_clean = verdict == HOLDS and True in holds
    outcome: Outcome = "fails" if verdict == LEAKS else "holds" if is_clean else "not checked"
    subsets = [*document["subsets"].items(), *((name, 0) for name in document["empty_subsets"])]
    text = _VERDICTS.get(verdict, "There are no two subsets with rasters to compare.")
    unchecked = [_name_level(name) for name, level in document["levels"].items() if level["holds"] is None]
    return CertifiedSplit(
        document["split"],
        origin,
        outcome,
        f"{text} Not checked: {', '.join(unchecked).lower()}." if unchecked else text,
        [*_iter_parameters(document["parameters"])],
        make_table("Subsets", [Column("Subset"), Column("Rasters", "number")], subsets),
        _tabulate_levels(document["levels"]),
        _tabulate_leaks(document["levels"]),
        _tabulate_distances(document["levels"]),
        _tabulate_left_out(document["not_covered"]),
    )


def _name_level(name: str) -> str:
    return LEVEL_TITLES.get(name, name)


def _iter_parameters(parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    buffer = parameters.get("buffer_m")
    yield "Buffer", "none: distances are measured only" if buffer is None else f"{buffer:g} m"
    yield "Which features count", str(parameters.get("where") or "all")


def _tabulate_levels(levels: dict[str, dict[str, Any]]) -> ReportTable:
    rows = [
        (_name_level(name), _WORDS[level["holds"]], describe_counts(_list_counts(level)).strip(" ()"), level["reason"])
        for name, level in levels.items()
    ]
    columns = [Column("Level"), Column("Result", "short"), Column("What was found"), Column("Why not, or not all")]
    return make_table("Levels", columns, rows)


def _list_counts(level: dict[str, Any]) -> dict[str, int]:
    return {name: value for name, value in level.items() if name not in _LEVEL_FACTS and isinstance(value, int)}


def _tabulate_leaks(levels: dict[str, dict[str, Any]]) -> ReportTable:
    """Return the leaking pairs, so many of each level that one level with many does not hide another."""
    rows, total = [], 0
    for name, level in levels.items():
        total += level.get("pairs", 0)
        rows += [
            (_name_level(name), leak["a"], leak["subset_a"], leak["b"], leak["subset_b"], describe_share(leak).strip())
            for leak in level["leaks"][: MAX_ROWS // 4]
        ]
    columns = [
        *(Column("Level"), Column("Raster"), Column("Subset"), Column("Other raster"), Column("Other subset")),
        Column("Finding"),
    ]
    table = make_table("Findings: pairs of rasters of different subsets", columns, rows)
    rest = total - len(rows)
    note = f"{format_count(rest, 'more pair')} not shown here: geographer certify --json." if rest > 0 else ""
    return table._replace(note=note)


def _tabulate_distances(levels: dict[str, dict[str, Any]]) -> ReportTable:
    rows = [
        (f"{row['subset_a']} and {row['subset_b']}", f"{row['distance_m']:,.1f}", row["a"], row["b"])
        for row in levels.get("distance", {}).get("subsets", ())
    ]
    columns = [Column("Subsets"), Column("Metres", "number"), Column("Raster"), Column("Other raster")]
    return make_table("Smallest distance of each two subsets", columns, rows)


def _tabulate_left_out(left_out: dict[str, dict[str, Any]]) -> ReportTable:
    rows = [
        (LEFT_OUT_PHRASES.get(why, why), item["total"], _join_names(item["ids"], item["total"]))
        for why, item in left_out.items()
    ]
    columns = [Column("Rasters"), Column("Number", "number"), Column("Examples")]
    return make_table("Rasters that the certificate does not cover, or that have no bytes", columns, rows)


def _join_names(names: Sequence[str], total: int) -> str:
    shown = names[:_MAX_NAMES]
    return ", ".join(shown) + (f" and {total - len(shown):,} more" if total > len(shown) else "")


def list_leakage_checks(reports: Sequence[CertifiedSplit]) -> list[Check]:
    """Return a check for each certificate; one that was not made if the revision has no split."""
    if not reports:
        detail = "the revision has no split; users who make one must prevent leakage themselves"
        return [Check(LEAKAGE, "not checked", detail, _SECTION)]
    return [
        Check(name_leakage_check(item.split, is_given=item.origin != _COMPUTED), item.outcome, item.verdict, _SECTION)
        for item in reports
    ]
