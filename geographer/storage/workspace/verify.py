"""Verify: re-read the log and every raster of a revision, and say what is not as it was recorded."""

from __future__ import annotations

import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.canonical_json import canonical_json, parse_canonical_json
from geographer.base.errors import UsageError
from geographer.base.values import Checksums
from geographer.storage.events import KINDS, Event, Head
from geographer.storage.log.digests import EMPTY, event_digest, row_digest_sql, rows_digests
from geographer.storage.log.read import read_events_between, read_head
from geographer.storage.log.row_tables import KEYS, TABLES
from geographer.storage.queries.revision import Revision, open_revision
from geographer.storage.state.update import read_state_position, rebuild_state
from geographer.storage.workspace.checkout import TrackedFile, find_features_on_rasters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

    from geographer.storage.database.connection import Database
    from geographer.storage.dvc.store import Store

DATA_FOLDERS: Final = ("rasters", "labels")

_LOGGED_FILES: Final = Path(__file__).with_name("logged_files.sql")
_DIGEST: Final = re.compile(r"[0-9a-f]{6,64}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        what: The kind of damage, such as 'edited row' or 'missing raster'.
        which: The event, object or file.
        since: The position of the event that recorded it, where there is one.
        detail: What was found, and what touches it.
    """

    what: str
    which: str
    since: int | None
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON."""
        return asdict(self)


def verify_dataset(
    engine: Database, store: Store, position: int, *, shown: int | None, expect: str | None, repair: bool
) -> list[Finding]:
    """Everything that is not as it was recorded: in the log, and in the files of the revision at `position`.

    Args:
        engine: Of the dataset.
        store: Its bytes.
        position: Whose files.
        shown: The position that the workspace's files are at; orphans are looked for against it.
        expect: A digest that was kept elsewhere.
        repair: When the log is sound, remove orphans and rebuild the projection. The log is never touched.

    Raises:
        UsageError: `expect` is no digest.
    """
    with engine.open_connection(log="r") as connection:
        findings = list(log_findings(connection))
        head = read_head(connection)
    findings += truncation_findings(head, read_state_position(engine))
    if repair and not findings:
        rebuild_state(engine)
    with open_revision(engine, position) as revision:
        if expect is not None:
            findings += expectation_findings(revision, expect)
        sound = not findings
        findings += file_findings(revision, store, in_workspace=shown == position)
        strays = find_orphans(store.root, _known_paths(revision, shown)) if shown is not None else []
    # What an unsound log does not know may be what somebody took out of it.
    if repair and sound:
        delete_orphans(strays)
        return findings
    return findings + list(orphan_findings(store.root, strays))


def truncation_findings(head: Head, projected: int) -> Iterator[Finding]:
    """Whether the projection has seen events that the log no longer has."""
    if projected > head.position:
        detail = f"the projection has seen @{projected}, and the log ends at @{head.position} {head.digest}"
        yield Finding("truncated log", f"@{head.position + 1}", head.position + 1, detail)


def expectation_findings(revision: Revision, expected: str) -> Iterator[Finding]:
    """Whether a digest that was kept elsewhere is still here: of an event up to the revision, or of its content.

    Raises:
        UsageError: it is no digest, nor enough of one.
    """
    if not _DIGEST.fullmatch(expected):
        raise UsageError(f"'{expected}' is no digest: give one in hex, or the first 6 letters of it or more")
    digests = revision.fetch_rows(
        "SELECT digest FROM log.event WHERE position <= $at ORDER BY position DESC", {"at": revision.position}
    )
    known = [digest for (digest,) in digests]
    if not any(digest.startswith(expected) for digest in (*known, revision.compute_content_digest())):
        detail = f"no event has the digest that was expected; the log ends at @{revision.position} {known[0]}"
        yield Finding("truncated or rewritten log", expected, None, detail)


def log_findings(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """What is wrong with the log itself: edited, dropped, reordered or inserted events and rows."""
    rewritten = list(_payload_findings(connection))
    yield from rewritten
    if not rewritten:
        events = read_events_between(connection)
        yield from _chain_findings(events)
        yield from _row_findings(connection, events)


def file_findings(revision: Revision, store: Store, *, in_workspace: bool) -> Iterator[Finding]:
    """What is wrong with the revision's files: in the cache, in the workspace if that shows it, and outside DVC."""
    logged = _logged(revision, revision.position)
    kept = [one for one in logged if not one.referenced]
    for one, damage, place in _cache_damage(store, kept, in_workspace=in_workspace):
        yield _file_finding(revision, one, damage, place)
    for one in logged:
        harm = _damage(store.root / one.file.path, one.file) if one.referenced else None
        if harm:
            yield _file_finding(revision, one, harm, "where it was referenced")


def find_orphans(root: Path, known: Iterable[str]) -> list[Path]:
    """Files in the data folders that no event knows, and drafts that a crash left, by path."""
    names = set(known)
    found = [
        path
        for folder in DATA_FOLDERS
        for path in (root / folder).rglob("*")
        if path.is_file()
        and path.relative_to(root).as_posix() not in names
        and path.suffix != ".dvc"
        and path.name != ".gitignore"
    ]
    return sorted(found) + sorted((root / ".geographer" / "staging").glob("*"))


def orphan_findings(root: Path, paths: Iterable[Path]) -> Iterator[Finding]:
    """A finding for each orphan."""
    for path in paths:
        yield Finding("orphan file", path.relative_to(root).as_posix(), None, "no event knows it: --repair removes it")


def delete_orphans(paths: Iterable[Path]) -> None:
    """Remove orphans: files, and folders of drafts."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


class _Logged(NamedTuple):
    """A file as the log records it: whether it lies outside DVC, and the position of the event that recorded it."""

    file: TrackedFile
    referenced: bool
    since: int


def _logged(revision: Revision, position: int) -> list[_Logged]:
    """The files of a revision; from the log, since whoever alters a file may have altered the projection too."""
    rows = revision.fetch_rows(_LOGGED_FILES.read_text(), {"at": position})
    return [
        _Logged(TrackedFile(path, Checksums(*sums), raster_id, label), storage == "reference", since)
        for path, *sums, raster_id, label, storage, since in rows
    ]


def _known_paths(revision: Revision, shown: int) -> set[str]:
    """What may lie in the data folders when the workspace shows a revision: its files, and whatever was referenced."""
    referenced = revision.fetch_rows("SELECT path FROM log.raster_change WHERE storage = 'reference'")
    return {one.file.path for one in _logged(revision, shown)} | {path for (path,) in referenced}


def _payload_findings(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Payloads that are not the text that was written, though they may say the same to one who parses them."""
    for position, kind, payload in connection.execute(
        "SELECT position, kind, payload FROM log.event ORDER BY position"
    ).fetchall():
        try:
            same = canonical_json(parse_canonical_json(payload)) == payload
        except (ValueError, UsageError):
            same = False
        if not same:
            detail = "its payload is not the canonical JSON that was written"
            yield Finding("edited event", f"@{position} {kind}", position, detail)


def _chain_findings(events: list[Event]) -> Iterator[Finding]:
    before: Event | None = None
    for event in events:
        which = f"@{event.position} {event.kind}"
        if event_digest(event.hashed_fields()) != event.digest:
            yield Finding("edited event", which, event.position, "its content does not have its digest")
        if event.kind not in KINDS:
            yield Finding("unknown event", which, event.position, "this version of geographer does not know that kind")
        due = before.position + 1 if before else 1
        if event.position != due:
            yield Finding("dropped event", f"@{due}", due, f"the log goes on with @{event.position}")
        if event.parents != ([before.digest] if before else []):
            detail = "its parent is not the event before it: one was dropped, inserted, reordered or rewritten"
            yield Finding("broken chain", which, event.position, detail)
        before = event


def _row_findings(connection: duckdb.DuckDBPyConnection, events: list[Event]) -> Iterator[Finding]:
    digests = rows_digests(connection)
    for event in events:
        if digests.pop(event.position, EMPTY) != event.rows_digest:
            detail = "rows were added, removed, reordered or given other digests"
            yield Finding("altered rows", f"@{event.position} {event.kind}", event.position, detail)
    for position in digests:
        yield Finding("rows without event", f"@{position}", position, "no event stands at their position")
    for table, columns in TABLES.items():
        edited = connection.execute(
            f"SELECT position, concat_ws('/', {', '.join(KEYS[table])}) FROM log.{table} "  # noqa: S608
            f"WHERE row_digest IS DISTINCT FROM {row_digest_sql(table)} ORDER BY position, ordinal"
        ).fetchall()
        for position, name in edited:
            detail = f"its columns ({', '.join(columns)}) do not have their digest"
            yield Finding("edited row", f"{table.partition('_')[0]} {name}", position, detail)


def _cache_damage(store: Store, logged: list[_Logged], *, in_workspace: bool) -> Iterator[tuple[_Logged, str, str]]:
    """Each damaged copy: the file, 'missing' or 'altered', and where."""
    damage: dict[str, str] = {**store.check([one.file.checksums for one in logged])}
    # What the cache lacks may be in DVC's remote.
    absent = [md5 for md5, harm in damage.items() if harm == "missing"]
    if absent:
        damage = {md5: harm for md5, harm in damage.items() if harm != "missing"} | {**store.fetch(absent)}
    for one in logged:
        here = _damage(store.root / one.file.path, one.file) if in_workspace else None
        if here:
            yield one, here, "in the workspace"
        harm = damage.get(one.file.checksums.md5)
        # What the cache lacks is not lost while the workspace has it.
        if harm == "altered" or (harm == "missing" and (here or not in_workspace)):
            yield one, harm, "in DVC's cache and remote" if harm == "missing" else "in DVC's cache"


def _damage(path: Path, file: TrackedFile) -> str | None:
    from geographer.rasters.checksums import compute_checksums

    if not path.is_file():
        return "missing"
    return None if compute_checksums(path) == file.checksums else "altered"


def _file_finding(revision: Revision, one: _Logged, damage: str, place: str) -> Finding:
    path, _, raster_id, label = one.file
    touched = find_features_on_rasters(revision, [raster_id])
    what = f"label '{label}' of raster '{raster_id}'" if label else f"raster '{raster_id}'"
    detail = f"{what} is {damage} {place}; it shows the features {', '.join(touched) if touched else '(none)'}"
    return Finding(f"{damage} {'label' if label else 'raster'}", path, one.since, detail)
