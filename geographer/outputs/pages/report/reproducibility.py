"""Reproducibility: which files can be made again, what is missing or withdrawn, signatures, given reruns."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.errors import UsageError
from geographer.base.text import format_count
from geographer.outputs.pages.report.checks import ARCHIVES, FILES, RERUN, SIGNATURE, Check
from geographer.outputs.pages.report.leakage import read_given_file
from geographer.outputs.pages.report.report_table import Column, ReportTable, make_table
from geographer.outputs.pages.report.steps import list_plugins
from geographer.outputs.release.facts import ReleaseFacts
from geographer.outputs.rerun.archive_report import RESULTS as ARCHIVE_RESULTS
from geographer.outputs.rerun.made_files import MadeFileGroup, group_made_files
from geographer.outputs.rerun.report import RESULTS
from geographer.storage.queries.revision import Revision
from geographer.storage.queries.tag_signatures import RecordedSignature
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.verify_report import VerifyReport, VerifyResult
from geographer.storage.workspace.verify_signatures import SignatureOptions, SignatureVerifier, TagFacts
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

SECTION: Final = "reproducibility"
_STORED: Final = Path(__file__).with_name("stored_files.sql")
_REFERENCES: Final = "SELECT count(*) FROM current_raster WHERE storage = 'reference'"
_STATEMENT: Final = (
    "SELECT digest, content_digest, merkle_root, version, log_root FROM state.tag WHERE tag = $tag "
    "ORDER BY position DESC LIMIT 1"
)
_FROM_LOG: Final = "yes"
_SUMMARIES: Final = {"summary": RESULTS, "archive summary": ARCHIVE_RESULTS}
_GOOD_RESULTS: Final = frozenset({"identical bytes", "identical pixels", "same"})
_UNMADE: Final = frozenset({"not made", "not asked"})


class GivenRerun(NamedTuple):
    """A report of `rerun --json` that was given as a file.

    Attributes:
        title: What it is a report of.
        origin: Its name and its SHA-256.
        check: Whether all came out as recorded.
        results: The numbers of files by result.
        findings: The files that did not.
    """

    title: str
    origin: str
    check: Check
    results: ReportTable
    findings: ReportTable


class Reproducibility(NamedTuple):
    """What can be made again, and what is there.

    Attributes:
        made: The derived files by recipe, and whether the log leads to them.
        stored: The files that DVC keeps, and those that this machine lacks.
        withdrawn: The withdrawn files of the revision, with the reasons.
        references: The number of rasters that are recorded in place.
        signatures: The signatures of the tag.
        reruns: The given reports.
        checks: The checks.
    """

    made: ReportTable
    stored: ReportTable
    withdrawn: ReportTable
    references: int
    signatures: ReportTable
    reruns: list[GivenRerun]
    checks: list[Check]


def read_reproducibility(
    work: UnitOfWork,
    revision: Revision,
    facts: ReleaseFacts,
    signatures: Sequence[RecordedSignature],
    reruns: Sequence[Path],
    verified: VerifyResult | None,
) -> Reproducibility:
    """Return what of a revision can be made again, and what its verification found; errors as for `read_rerun`."""
    given = [read_rerun(path, facts) for path in reruns]
    withdrawn = list_withdrawn_files(revision.connection)
    stored = revision.fetch_rows(_STORED.read_text())
    missing = {*work.file_store.list_missing_objects(md5 for _, _, md5 in stored)} - withdrawn.keys()
    groups = group_made_files(revision)
    signed, signature_check = _check_signatures(revision, facts, signatures)
    rows = [(file.raster_id, f"@{file.position}", file.reason) for md5, file in withdrawn.items()]
    present = {md5 for _, _, md5 in stored}
    counts = (len(present), len(missing & present), len(withdrawn.keys() & present))
    rows = sorted({row for row, md5 in zip(rows, withdrawn, strict=True) if md5 in present})
    return Reproducibility(
        _tabulate_made(groups, facts, withdrawn.keys(), missing),
        _tabulate_stored(stored, withdrawn.keys(), missing),
        make_table("Withdrawn files", [Column("Raster"), Column("Since"), Column("Reason")], rows),
        revision.fetch_value(_REFERENCES),
        signed,
        given,
        [
            _check_presence(*counts) if verified is None else _check_files(verified, facts),
            *([item.check for item in given] or [_describe_missing_rerun(groups, facts)]),
            signature_check,
        ],
    )


def _tabulate_made(
    groups: Sequence[MadeFileGroup], facts: ReleaseFacts, withdrawn: Any, missing: set[str]
) -> ReportTable:
    recipes = {name: (kind, parameters) for name, kind, parameters in facts.recipes}
    rows = []
    for group in groups:
        name = f"labels '{group.label}'" if group.label else f"rasters '{group.recipe or 'without recipe'}'"
        kind, parameters = recipes.get(group.recipe or "", ("", {}))
        counts = (sum(md5 in withdrawn for md5 in group.md5s), sum(md5 in missing for md5 in group.md5s))
        rows.append((name, kind, len(group.md5s), _describe_way(group.kind, parameters), *counts))
    columns = [
        *(Column("Files"), Column("Recipe"), Column("Number", "number"), Column("Can be made again from the log")),
        *(Column("Withdrawn", "number"), Column("Not on this machine", "number")),
    ]
    return make_table("Derived files, by the step that made them", columns, rows)


def _describe_way(kind: str | None, parameters: Mapping[str, Any]) -> str:
    """Return whether files of this kind of event can be made again."""
    if kind is None:
        return "no: no event of this log made them, they were imported"
    if kind == "command_run":
        return "by running the recorded command again: geographer rerun --commands"
    plugins = sorted({*list_plugins(parameters)})
    return f"with the plugin {', '.join(plugins)}, which is not part of the log" if plugins else _FROM_LOG


def _tabulate_stored(rows: Sequence[tuple[str, str, str]], withdrawn: Any, missing: set[str]) -> ReportTable:
    totals, gone, lacking = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for subject, name, md5 in rows:
        totals[subject, name] += 1
        gone[subject, name] += md5 in withdrawn
        lacking[subject, name] += md5 in missing
    cells = [(f"{key[0]} '{key[1]}'", totals[key], lacking[key], gone[key]) for key in sorted(totals)]
    columns = [
        *(Column("Files"), Column("Recorded", "number"), Column("Not on this machine", "number")),
        Column("Withdrawn", "number"),
    ]
    return make_table("Files that DVC keeps; the machine is the one that made this page", columns, cells)


def _check_files(verified: VerifyResult, facts: ReleaseFacts) -> Check:
    """Return what the verification of the log and of all files of the revision found."""
    if verified:
        count, first = format_count(len(verified), "finding"), verified[0]
        detail = f"{count} of geographer verify {facts.tag.name}, such as {first.kind}: {first.subject}: {first.detail}"
        return Check(FILES, "fails", detail, SECTION)
    if verified.report.withdrawn:
        detail = f"{format_count(len(verified.report.withdrawn), 'file')} withdrawn: their bytes are deleted everywhere"
        return Check(FILES, "fails", detail, SECTION)
    return Check(FILES, "holds", f"{verified.report.list_lines()[0]}; log and files are as recorded", SECTION)


def _check_presence(total: int, missing: int, withdrawn: int) -> Check:
    hint = "their bytes were not read: --verify hashes them"
    if withdrawn:
        detail = f"{format_count(withdrawn, 'file')} of {total:,} withdrawn: their bytes are deleted everywhere"
        return Check(FILES, "fails", detail, SECTION)
    if missing:
        detail = f"{missing:,} of {format_count(total, 'file')} are not on the machine that made this page; {hint}"
        return Check(FILES, "not checked", detail, SECTION)
    detail = f"all {format_count(total, 'file')} are on the machine that made this page; {hint}"
    return Check(FILES, "not checked", detail if total else "the revision has no files", SECTION)


def _describe_missing_rerun(groups: Sequence[MadeFileGroup], facts: ReleaseFacts) -> Check:
    count = sum(len(group.md5s) for group in groups)
    detail = f"{format_count(count, 'derived file')} not made again: geographer rerun {facts.tag.name}"
    return Check(RERUN, "not checked", detail if count else "the revision has no derived files", SECTION)


def read_rerun(path: Path, facts: ReleaseFacts) -> GivenRerun:
    """Read what `rerun --json` printed.

    Raises:
        NotFoundError: there is no such file.
        UsageError: the file is no report of a rerun, or one of another revision.
    """
    content = read_given_file(path, "report of a rerun")
    advice = f"Write one: geographer rerun {facts.tag.name} --json > FILE"
    try:
        rows = [json.loads(line) for line in content.splitlines() if line.strip()]
        summary = rows[-1]
        results = _SUMMARIES[summary["row"]]
        counts = [(name, int(summary[name])) for name in results]
        digest = str(summary["digest"])
        is_archive = summary["row"] == "archive summary"
        findings = [
            (_name_file(row), row["result"], str(row.get("reason") or "")) for row in rows[:-1] if _is_finding(row)
        ]
        plans = int(summary.get("other plans", 0))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"'{path}' is no report of a rerun: it does not end with a summary. {advice}") from error
    if digest != facts.tag.digest:
        raise UsageError(
            f"the rerun in '{path}' is of the revision {digest[:12]}, not of {facts.tag.name} {facts.tag.digest[:12]}. "
            f"{advice}"
        )
    columns = [Column("File"), Column("Result"), Column("Why")]
    return GivenRerun(
        "Rerun against archives" if is_archive else "Rerun",
        f"read from the file {path.name}, not computed for this page; SHA-256 {hashlib.sha256(content).hexdigest()}",
        _check_counts(ARCHIVES if is_archive else RERUN, counts, plans),
        make_table("Results", [Column("Result"), Column("Files", "number")], counts),
        make_table("Files that are not as recorded", columns, findings, "geographer rerun"),
    )


def _name_file(row: Mapping[str, Any]) -> str:
    return f"label:{row['label']}/{row['raster_id']}" if row.get("label") else str(row["raster_id"])


def _is_finding(row: Mapping[str, Any]) -> bool:
    return row["row"] in ("file", "raster") and row["result"] not in _GOOD_RESULTS


def _check_counts(name: str, counts: Sequence[tuple[str, int]], plans: int) -> Check:
    total = sum(count for _, count in counts)
    text = ", ".join(f"{count:,} {result}" for result, count in counts if count) or "no files"
    detail = f"{format_count(total, 'file')}: {text}" + (
        f"; {format_count(plans, 'plan')} not the same" if plans else ""
    )
    wrong = sum(count for result, count in counts if result not in _GOOD_RESULTS | _UNMADE)
    if wrong or plans:
        return Check(name, "fails", detail, SECTION)
    unmade = sum(count for result, count in counts if result in _UNMADE)
    return Check(name, "not checked" if unmade or not total else "holds", detail, SECTION)


def _check_signatures(
    revision: Revision, facts: ReleaseFacts, signatures: Sequence[RecordedSignature]
) -> tuple[ReportTable, Check]:
    """Compare the signatures of the tag with what the log gives; whose keys they are is for the reader to say."""
    tag = facts.tag.name
    recorded = [
        item
        for item in signatures
        if (item.signed.statement.tag, item.signed.statement.digest) == (tag, facts.tag.digest)
    ]
    rows = [
        (item.signed.signature.key_fingerprint, item.author, item.recorded_at[:19], _describe_stamp(item))
        for item in recorded
    ]
    columns = [Column("Key", "code"), Column("Recorded by"), Column("Recorded at (UTC)"), Column("Time stamp")]
    table = make_table("Signatures of the tag", columns, rows, "geographer tags")
    if not recorded:
        detail = "only tags have one" if tag.startswith("@") else "the tag has none"
        return table, Check(SIGNATURE, "not checked", detail, SECTION)
    names = ("digest", "content_digest", "merkle_root", "version", "log_root")
    (values,) = revision.fetch_rows(_STATEMENT, {"tag": tag})
    statement = dict(zip(names, values, strict=True))
    report = VerifyReport()
    verifier = SignatureVerifier(SignatureOptions(), report)
    findings = [*verifier.check_tags({tag: TagFacts(facts.tag.event_position, statement)}, recorded)]
    if findings:
        return table, Check(SIGNATURE, "fails", "; ".join(finding.detail for finding in findings), SECTION)
    advice = f"whose keys they are was not checked: geographer verify {tag} --signature FILE"
    detail = f"{format_count(len(recorded), 'signature')}: what was signed is what the log gives; {advice}"
    return table, Check(SIGNATURE, "holds", detail, SECTION)


def _describe_stamp(item: RecordedSignature) -> str:
    stamp = item.signed.time_stamp
    return "none" if stamp is None else f"{stamp.time}, as the authority states it"
