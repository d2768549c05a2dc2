"""Verify a dataset: compare the log with its digests, and the files of a revision with their recorded checksums."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.atomic_files import check_file
from geographer.base.canonical_json import canonical_json, parse_canonical_json
from geographer.base.errors import UsageError
from geographer.base.values import Checksums
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER
from geographer.storage.events import KINDS, Event
from geographer.storage.log.digests import (
    EMPTY_ROWS_DIGEST,
    build_row_digest_sql,
    compute_event_digest,
    compute_rows_digests,
)
from geographer.storage.log.read import read_events_between, read_head
from geographer.storage.log.row_tables import KEY_COLUMNS, ROW_TABLES
from geographer.storage.queries.revision import Revision, open_revision
from geographer.storage.state.update import read_state_position, rebuild_state
from geographer.storage.workspace.checkout import TrackedFile, find_features_on_rasters

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from geographer.storage.database.connection import Database
    from geographer.storage.dvc.store import Store

DATA_FOLDERS: Final = ("rasters", "labels")

_LOGGED_FILES: Final = Path(__file__).with_name("logged_files.sql")
_DIGEST: Final = re.compile(r"[0-9a-f]{6,64}")


class Finding(NamedTuple):
    """One fault in the log or the files.

    Attributes:
        kind: Such as 'edited row' or 'missing raster'.
        subject: The event, object or file.
        position: The position of the event that recorded the subject, if any.
        detail: What is wrong, and which features it concerns.
    """

    kind: str
    subject: str
    position: int | None
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON."""
        return {"what": self.kind, "which": self.subject, "since": self.position, "detail": self.detail}


def verify_dataset(
    database: Database,
    store: Store,
    position: int,
    *,
    workspace_position: int | None,
    expected_digest: str | None,
    repair: bool,
) -> list[Finding]:
    """List the faults of the log, and of the files of the revision at `position`.

    Args:
        database: The dataset's database.
        store: The dataset's files.
        position: The revision whose files are checked.
        workspace_position: The position of the workspace's files; files that it lacks are orphans.
        expected_digest: A digest, or a prefix of one, that was kept outside the dataset.
        repair: If the log has no faults, delete orphans and rebuild the state. The log is never changed.

    Raises:
        UsageError: `expected_digest` is not a digest.
    """
    with database.open_connection(log="r") as connection:
        findings = list(_check_log(connection))
        head = read_head(connection)
    state_position = read_state_position(database)
    if state_position > head.position:
        detail = f"the state was derived up to @{state_position}, and the log ends at @{head.position} {head.digest}"
        findings.append(Finding("truncated log", f"@{head.position + 1}", head.position + 1, detail))
    if repair and not findings:
        rebuild_state(database)
    with open_revision(database, position) as revision:
        if expected_digest is not None:
            findings += _check_expected_digest(revision, expected_digest)
        is_sound = not findings
        findings += _check_revision_files(revision, store, in_workspace=workspace_position == position)
        orphans = []
        if workspace_position is not None:
            orphans = _find_orphans(store.root, _list_known_paths(revision, workspace_position))
    for path in orphans:
        # A log with faults may have lost the events of files that look like orphans.
        if not (repair and is_sound):
            name, detail = path.relative_to(store.root).as_posix(), "no event recorded it; --repair deletes it"
            findings.append(Finding("orphan file", name, None, detail))
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return findings


def _check_expected_digest(revision: Revision, expected: str) -> Iterator[Finding]:
    """Yield a finding unless an event up to the revision, or the revision's content, has the expected digest."""
    if not _DIGEST.fullmatch(expected):
        raise UsageError(f"invalid digest '{expected}'. Use 6 to 64 hexadecimal characters.")
    digests = revision.fetch_rows(
        "SELECT digest FROM log.event WHERE position <= $at ORDER BY position DESC", {"at": revision.position}
    )
    event_digests = [digest for (digest,) in digests]
    if not any(digest.startswith(expected) for digest in (*event_digests, revision.compute_content_digest())):
        detail = f"no event has the expected digest; the log ends at @{revision.position} {event_digests[0]}"
        yield Finding("truncated or rewritten log", expected, None, detail)


def _check_log(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Yield the faults of the log: edited, dropped, reordered or inserted events and rows."""
    payload_findings = list(_check_payloads(connection))
    yield from payload_findings
    if not payload_findings:
        events = read_events_between(connection)
        yield from _check_chain(events)
        yield from _check_rows(connection, events)


def _check_revision_files(revision: Revision, store: Store, *, in_workspace: bool) -> Iterator[Finding]:
    """Yield the faults of the revision's files: in the cache, in the workspace if it is there, and outside DVC."""
    logged = _list_logged_files(revision, revision.position)
    stored = [entry for entry in logged if not entry.is_referenced]
    for entry, damage, location in _check_stored_files(store, stored, in_workspace=in_workspace):
        yield _make_file_finding(revision, entry, damage, location)
    for entry in logged:
        if entry.is_referenced and (found := check_file(store.root / entry.file.path, entry.file.checksums)):
            yield _make_file_finding(revision, entry, found, "where it was referenced")


def _find_orphans(root: Path, known_paths: set[str]) -> list[Path]:
    """List the files in the data folders that no event recorded, and staging folders that a crash left, by path."""
    files = [path for folder in DATA_FOLDERS for path in (root / folder).rglob("*") if path.is_file()]
    data = [path for path in files if path.suffix != ".dvc" and path.name != ".gitignore"]
    orphans = [path for path in data if path.relative_to(root).as_posix() not in known_paths]
    return sorted(orphans) + sorted((root / GEOGRAPHER_FOLDER / "staging").glob("*"))


class _LoggedFile(NamedTuple):
    """A file as the log records it: whether it is outside DVC, and the position of the event that recorded it."""

    file: TrackedFile
    is_referenced: bool
    position: int


def _list_logged_files(revision: Revision, position: int) -> list[_LoggedFile]:
    """List the files of a revision from the log: an attacker who alters a file may alter the state too."""
    rows = revision.fetch_rows(_LOGGED_FILES.read_text(), {"at": position})
    return [
        _LoggedFile(TrackedFile(path, Checksums(*checksums), raster_id, label), storage == "reference", since)
        for path, *checksums, raster_id, label, storage, since in rows
    ]


def _list_known_paths(revision: Revision, workspace_position: int) -> set[str]:
    """List the paths that may exist in the data folders: files of the workspace's revision, and referenced files."""
    referenced = revision.fetch_rows("SELECT path FROM log.raster_change WHERE storage = 'reference'")
    logged = _list_logged_files(revision, workspace_position)
    return {entry.file.path for entry in logged} | {path for (path,) in referenced}


def _check_payloads(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Yield payloads whose text is not canonical JSON, and so was edited, even if it parses to the same values."""
    query = "SELECT position, kind, payload FROM log.event ORDER BY position"
    for position, kind, payload in connection.execute(query).fetchall():
        try:
            is_canonical = canonical_json(parse_canonical_json(payload)) == payload
        except (ValueError, UsageError):
            is_canonical = False
        if not is_canonical:
            detail = "its payload is not the canonical JSON that was written"
            yield Finding("edited event", f"@{position} {kind}", position, detail)


def _check_chain(events: list[Event]) -> Iterator[Finding]:
    previous: Event | None = None
    for event in events:
        subject = f"@{event.position} {event.kind}"
        if compute_event_digest(event.hashed_fields()) != event.digest:
            yield Finding("edited event", subject, event.position, "its content does not match its digest")
        if event.kind not in KINDS:
            detail = "this version of geographer does not support that kind of event"
            yield Finding("unknown event", subject, event.position, detail)
        expected = previous.position + 1 if previous else 1
        if event.position != expected:
            yield Finding("dropped event", f"@{expected}", expected, f"the next event in the log is @{event.position}")
        if event.parents != ([previous.digest] if previous else []):
            detail = "its parent is not the previous event: one was dropped, inserted, reordered or rewritten"
            yield Finding("broken chain", subject, event.position, detail)
        previous = event


def _check_rows(connection: duckdb.DuckDBPyConnection, events: list[Event]) -> Iterator[Finding]:
    digests = compute_rows_digests(connection)
    for event in events:
        if digests.pop(event.position, EMPTY_ROWS_DIGEST) != event.rows_digest:
            detail = "rows were added, removed or reordered, or their digests were changed"
            yield Finding("altered rows", f"@{event.position} {event.kind}", event.position, detail)
    for position in digests:
        yield Finding("rows without event", f"@{position}", position, "no event has their position")
    for table, columns in ROW_TABLES.items():
        edited = connection.execute(
            f"SELECT position, concat_ws('/', {', '.join(KEY_COLUMNS[table])}) FROM log.{table} "  # noqa: S608
            f"WHERE row_digest IS DISTINCT FROM {build_row_digest_sql(table)} ORDER BY position, ordinal"
        ).fetchall()
        for position, key in edited:
            detail = f"its columns ({', '.join(columns)}) do not match their digest"
            yield Finding("edited row", f"{table.partition('_')[0]} {key}", position, detail)


def _check_stored_files(
    store: Store, stored: list[_LoggedFile], *, in_workspace: bool
) -> Iterator[tuple[_LoggedFile, str, str]]:
    """Yield each damaged copy: the file, 'missing' or 'altered', and its location."""
    cache_damage: dict[str, str] = {**store.check_files([entry.file.checksums for entry in stored])}
    missing = [md5 for md5, damage in cache_damage.items() if damage == "missing"]
    cache_damage = {md5: damage for md5, damage in cache_damage.items() if damage != "missing"}
    cache_damage |= store.fetch_files(missing)
    for entry in stored:
        path, checksums = store.root / entry.file.path, entry.file.checksums
        workspace_damage = check_file(path, checksums) if in_workspace else None
        if workspace_damage:
            yield entry, workspace_damage, "in the workspace"
        damage = cache_damage.get(checksums.md5)
        # A file that only the cache lacks is not lost while the workspace has it.
        if damage == "altered" or (damage == "missing" and (workspace_damage or not in_workspace)):
            yield entry, damage, "in DVC's cache and remote" if damage == "missing" else "in DVC's cache"


def _make_file_finding(revision: Revision, entry: _LoggedFile, damage: str, location: str) -> Finding:
    path, _, raster_id, label = entry.file
    features = find_features_on_rasters(revision, [raster_id])
    name = f"label '{label}' of raster '{raster_id}'" if label else f"raster '{raster_id}'"
    detail = f"{name} is {damage} {location}; its features are {', '.join(features) if features else '(none)'}"
    return Finding(f"{damage} {'label' if label else 'raster'}", path, entry.position, detail)
