"""The log of a release: rebuilt from its segments in a scratch folder, which computes every digest again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from geographer.base.errors import GeographerError
from geographer.outputs.audit.release.contents import ReleaseContents, make_check
from geographer.outputs.audit.report import FAILED_CHECK, AuditCheck, AuditFinding, Severity, Verdict
from geographer.outputs.revision_folder import EXPORTED_TABLES, describe_labels
from geographer.outputs.samples.sample_facts import SAMPLE_FACTS, read_sample_facts
from geographer.outputs.table_text import write_parquet
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER, LOCK_FILE
from geographer.storage.history.agreement import create_log_of_segments
from geographer.storage.history.lock_file import parse_lock
from geographer.storage.queries.logged_content import DigestKind, LoggedContent
from geographer.storage.queries.revision import Revision
from geographer.storage.queries.selection import TableFilter
from geographer.storage.unit_of_work import UnitOfWork

_NAMES = ("log", "digests", "tables from the log")
_KINDS: tuple[tuple[str, DigestKind], ...] = (("content_digest", "content digest"), ("merkle_root", "Merkle root"))


class RebuiltHistory(NamedTuple):
    """The log of a release: its revision, or why it cannot be read (`is_damaged`, if something is wrong with it)."""

    revision: Revision | None
    fault: str = ""
    is_damaged: bool = False
    work: UnitOfWork | None = None


@contextmanager
def rebuild_history(contents: ReleaseContents) -> Iterator[RebuiltHistory]:
    """Yield the revision of a release, derived from its segments in a scratch folder that is deleted at the end.

    Each event, each row and each link between events is hashed on the way; see `ingest_segments`.
    """
    paths = sorted((contents.folder / "history").glob("*.parquet"))
    if not paths and contents.has_path(LOCK_FILE):
        yield RebuiltHistory(None, "the log is missing: a release has it in history/*.parquet", is_damaged=True)
        return
    if not paths:
        yield RebuiltHistory(None, "the folder has no log (history/*.parquet), as one that checkout --to wrote")
        return
    with tempfile.TemporaryDirectory(prefix="geographer-audit-") as scratch:
        root = Path(scratch)
        try:
            lock = parse_lock((contents.folder / LOCK_FILE).read_bytes(), LOCK_FILE)
            create_log_of_segments(root / GEOGRAPHER_FOLDER, paths, lock)
            work = UnitOfWork(root)
            location = work.locate_revision(contents.tagged_position)
        except GeographerError as error:
            yield RebuiltHistory(None, str(error), is_damaged=True)
            return
        except OSError as error:
            yield RebuiltHistory(None, f"{LOCK_FILE} cannot be read ({error.strerror})", is_damaged=True)
            return
        with work.open_revision(location) as revision:
            yield RebuiltHistory(revision, work=work)


def check_history(
    contents: ReleaseContents, history: RebuiltHistory, findings: list[AuditFinding]
) -> Iterator[AuditCheck]:
    """Compare the digests of revision.json and the tables with those that the log gives."""
    revision = history.revision
    if revision is None:
        verdict = Verdict.FAILS if history.is_damaged else Verdict.NOT_CHECKED
        if history.is_damaged:
            findings.append(AuditFinding(FAILED_CHECK, Severity.FAULT, "log", history.fault))
        yield AuditCheck(_NAMES[0], verdict, history.fault)
        yield from (AuditCheck(name, Verdict.NOT_CHECKED, "the log could not be read") for name in _NAMES[1:])
        return
    events = revision.fetch_value("SELECT count(*) FROM chain_event")
    yield AuditCheck(_NAMES[0], Verdict.HOLDS, f"{events:,} events with their rows have the digests that link them")
    yield make_check(
        _NAMES[1],
        list(_compare_digests(contents, revision)),
        "event digest, content digest and Merkle root in revision.json are those that the log gives",
        findings,
    )
    yield make_check(
        _NAMES[2],
        list(_compare_tables(contents, revision)),
        f"all {len(EXPORTED_TABLES)} tables are equal to those that the log gives",
        findings,
    )


def _compare_digests(contents: ReleaseContents, revision: Revision) -> Iterator[str]:
    position = {"position": revision.position}
    recorded = contents.find_digest("digest")
    actual = revision.fetch_value("SELECT digest FROM chain_event WHERE position = $position", position)
    if recorded != actual:
        yield f"revision.json says that the event digest is {recorded}, and the log gives {actual}"
    labels = contents.revision.get("labels")  # version 0.1 did not write them
    if labels is not None and labels != describe_labels(revision):
        yield "revision.json says other kinds of labels, or values to ignore, than the log"
    content = LoggedContent(revision.connection)
    for name, kind in _KINDS:
        digest = content.compute_digest(kind, revision.position)
        if contents.find_digest(name) != digest:
            yield f"revision.json says that the {kind} is {contents.find_digest(name)}, and the log gives {digest}"


def _compare_tables(contents: ReleaseContents, revision: Revision) -> Iterator[str]:
    """Yield the tables that differ; rows and columns are compared, not the bytes of files."""
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(prefix="geographer-audit-") as scratch:
        for name in EXPORTED_TABLES:
            path = Path(scratch, f"{name}.parquet")
            write_parquet(revision, name, TableFilter(), path)
            expected, actual = pq.ParquetFile(path).read(), contents.read_table(name)
            if actual is None:
                yield f"tables/{name}.parquet is missing or damaged"
            elif not actual.equals(expected):
                counts = f"{actual.num_rows:,} rows, and the log gives {expected.num_rows:,}"
                yield f"tables/{name}.parquet has {counts if actual.num_rows != expected.num_rows else 'other values'}"
            path.unlink()
    facts = contents.read_table(SAMPLE_FACTS)  # version 0.1 wrote none
    if facts is not None and not facts.equals(read_sample_facts(revision)):
        yield f"tables/{SAMPLE_FACTS}.parquet has other values"
