"""Write the report of a revision: read all facts, draw the plots, make the page, and write it to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.base.html import render_object
from geographer.outputs.pages.page import read_script, render_page, require_packages, resolve_page_path, write_page
from geographer.outputs.pages.report.balance import read_balance
from geographer.outputs.pages.report.checks import CONTENT_DIGEST, Check, make_verdict
from geographer.outputs.pages.report.citing import describe_citing
from geographer.outputs.pages.report.examples import read_examples
from geographer.outputs.pages.report.figures import draw_figures
from geographer.outputs.pages.report.head_facts import HeadFacts, TagRow, read_head_facts
from geographer.outputs.pages.report.leakage import (
    LeakageOptions,
    certify_splits,
    list_certify_options,
    list_leakage_checks,
    read_certificates,
)
from geographer.outputs.pages.report.limits import read_limits
from geographer.outputs.pages.report.overview import read_overview
from geographer.outputs.pages.report.reproducibility import read_reproducibility
from geographer.outputs.pages.report.sources import read_sources
from geographer.outputs.pages.report.steps import describe_steps
from geographer.outputs.pages.report.timeline import read_timeline
from geographer.outputs.release.facts import ReleaseFacts, read_facts, read_untagged_facts
from geographer.storage.log.branches import Location
from geographer.storage.queries.revision import Revision
from geographer.storage.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from geographer.outputs.pages.report.examples import Examples
    from geographer.outputs.pages.report.leakage import CertifiedSplit
    from geographer.storage.workspace.verify_report import VerifyResult

_FOLDER: Final = Path(__file__).parent
_TEMPLATE: Final = "report/report.html.jinja"
_MAX_SPLITS: Final = 10
_MAX_EXAMPLES: Final = 200
DEFAULT_EXAMPLES: Final = 24


class ReportOptions(NamedTuple):
    """What a report has beside the facts of the revision.

    Attributes:
        splits: The splits to certify; empty: all.
        leakage: How they are certified.
        examples: The largest number of chips that are shown.
        reruns: Files that `rerun --json` printed.
        certificates: Files that `certify --to` wrote.
        verify: Whether the log and all files of the revision are read and compared with their digests.
    """

    splits: Sequence[str] = ()
    leakage: LeakageOptions = LeakageOptions()
    examples: int = DEFAULT_EXAMPLES
    reruns: Sequence[Path] = ()
    certificates: Sequence[Path] = ()
    verify: bool = False


class ReportResult(NamedTuple):
    """What was written.

    Attributes:
        path: The file.
        revision: The tag, or `@` and the position.
        digest: The digest of the revision's event.
        bytes: The size of the page.
        verdict: How many checks were made and failed, in a sentence.
        failed: The names of the checks that failed.
        held: The names of the checks that hold.
        unchecked: The names of the checks that were not made.
    """

    path: Path
    revision: str
    digest: str
    bytes: int
    verdict: str
    failed: list[str]
    held: list[str]
    unchecked: list[str]

    def _repr_html_(self) -> str:
        return render_object(self)


def write_report(work: UnitOfWork, tag: str | int | None, path: str | Path, options: ReportOptions) -> ReportResult:
    """Write the report of a revision to a file; equal logs and files give equal bytes.

    Args:
        work: The dataset.
        tag: The tag, or any revision. None: the newest tag, or the head if there is none.
        path: The file.
        options: What the report has.

    Raises:
        NotFoundError: there is no such revision, split or file.
        UsageError: an option is invalid, a given file is of another revision, the path is no file's, or the revision
            to verify is of another branch.
        StorageError: a file cannot be read or written.
        MissingLibraryError: jinja2 or matplotlib is not installed.
    """
    require_packages("a report", "jinja2", "matplotlib")
    target = resolve_page_path(path, work.root)
    if isinstance(options.examples, bool) or not 0 <= options.examples <= _MAX_EXAMPLES:
        raise UsageError(f"invalid number of examples {options.examples!r}. Use 0 to {_MAX_EXAMPLES}.")
    location, name, head = _locate_report(work, tag)
    verified = _verify_files(work, location) if options.verify else None
    with work.open_revision(location) as revision:
        found = _find_tag(head, name, revision.position)
        facts = read_facts(revision, found.tag) if found else read_untagged_facts(revision)
        splits = _choose_splits(facts, options.splits)
        values, checks = _read_contents(work, revision, facts, head, found, splits, options, verified)
    verdict = make_verdict(checks)
    page = render_page(
        _TEMPLATE,
        title=values["overview"].title,
        description=f"Report of {facts.tag.name}, event digest {facts.tag.digest}",
        scripts=[read_script("report.js", _FOLDER)],
        styles=[read_script("report.css", _FOLDER)],
        verdict=verdict,
        checks=checks,
        **values,
    )
    write_page(target, page, work.root)
    size = target.stat().st_size
    return ReportResult(target, facts.tag.name, facts.tag.digest, size, *verdict)


def _locate_report(work: UnitOfWork, tag: str | int | None) -> tuple[Location, str | None, HeadFacts]:
    """Return where the revision is, the name that was given or chosen, and what the head of its chain says."""
    location = work.locate_revision(tag)
    with work.open_revision(work.locate_head(location.branch)) as revision:
        head = read_head_facts(revision)
    if tag is not None:
        return location, str(tag), head
    newest = next((row for row in head.tags if row.position is not None), None)
    return (
        (location, None, head)
        if newest is None
        else (Location(location.branch, newest.position or 1), newest.tag, head)
    )


def list_report_options(options: ReportOptions) -> list[str]:
    """Return the options of the command `report` with which a reader makes the same page; files are named alone."""
    words = [word for split in options.splits for word in ("--split", split)]
    words += [] if options.leakage.buffer is None else ["--buffer", f"{options.leakage.buffer:g}"]
    words += ["--duplicates"] * options.leakage.duplicates
    words += [] if options.leakage.where is None else ["--where", options.leakage.where]
    words += [] if options.examples == DEFAULT_EXAMPLES else ["--examples", str(options.examples)]
    words += [word for path in options.reruns for word in ("--rerun", Path(path).name)]
    words += [word for path in options.certificates for word in ("--certificate", Path(path).name)]
    words += ["--verify"] * options.verify
    return words


def _verify_files(work: UnitOfWork, location: Location) -> VerifyResult:
    """Compare the log and all files of a revision of the branch in use with what was recorded."""
    from geographer.storage.workspace.verify import VerifyOptions, verify_dataset

    if location.branch != work.locate_revision(None).branch:
        raise UsageError(
            f"cannot verify files of {location.branch}, not the branch in use. Switch to it, or leave --verify out."
        )
    options = VerifyOptions(location.position, hashes_tags=False, workspace_position=work.workspace_position)
    return verify_dataset(work.database, work.file_store, options)


def _find_tag(head: HeadFacts, name: str | None, position: int) -> TagRow | None:
    """Return the tag that names the revision: the given one, or else the newest one."""
    tags = [row for row in head.tags if row.position == position]
    return next((row for row in tags if row.tag == name), next(iter(tags), None))


def _choose_splits(facts: ReleaseFacts, splits: Sequence[str]) -> list[str]:
    known = facts.list_splits()
    if unknown := [name for name in splits if name not in known]:
        names = ", ".join(f"'{name}'" for name in known) or "none"
        raise NotFoundError(f"no split {quote_names(unknown)} at {facts.tag.name}. The revision has: {names}.")
    return [*dict.fromkeys(splits)] or known[:_MAX_SPLITS]


def _read_contents(
    work: UnitOfWork,
    revision: Revision,
    facts: ReleaseFacts,
    head: HeadFacts,
    tag: TagRow | None,
    splits: list[str],
    options: ReportOptions,
    verified: VerifyResult | None,
) -> tuple[dict[str, Any], list[Check]]:
    """Return the values of the template by name, and the checks."""
    given = read_certificates(options.certificates, facts)
    reproducibility = read_reproducibility(work, revision, facts, head.signatures, options.reruns, verified)
    sources = read_sources(revision, facts)
    limits = read_limits(head, revision, facts)
    leakage: list[CertifiedSplit] = [*certify_splits(work, revision, splits, options.leakage), *given]
    examples: Examples = read_examples(work, revision, splits[0] if splits else None, options.examples)
    checks = [
        _check_content(revision, facts, tag.tag if tag else None),
        *list_leakage_checks(leakage),
        sources.make_check(),
        *limits.checks,
        *reproducibility.checks,
    ]
    certified = [(split, list_certify_options(revision, split, options.leakage)) for split in splits]
    left_out = [name for name in facts.list_splits() if name not in splits]
    return {
        "tag": tag.tag if tag else None,
        "version": tag.version if tag else None,
        "facts": facts,
        "overview": read_overview(revision, facts, tag),
        "timeline": read_timeline(head, revision),
        "balance": read_balance(revision, facts, splits),
        "leakage": leakage,
        "splits_left_out": left_out,
        "examples": examples,
        "sources": sources,
        "steps": describe_steps(facts),
        "reproducibility": reproducibility,
        "limits": limits,
        "citing": describe_citing(facts, certified, list_report_options(options)),
        "figures": draw_figures(work, revision, splits, head.list_tags_until(revision.position)),
    }, checks


def _check_content(revision: Revision, facts: ReleaseFacts, tag: str | None) -> Check:
    """Compare the content digest and the Merkle root that the tables give with those that the tag records."""
    name, section = CONTENT_DIGEST, "what"
    if tag is None:
        detail = "the revision has no tag, whose digest the tables could be compared with: geographer tag NAME"
        return Check(name, "not checked", detail, section)
    if revision.compute_content_digest() != facts.tag.content_digest:
        return Check(name, "fails", f"the tables do not give the content digest that tag {tag} records", section)
    detail = "computed again from the tables, it is the one that the tag records; geographer verify hashes the log, too"
    return Check(name, "holds", detail, section)
