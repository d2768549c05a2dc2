"""Verify: re-read the log and every raster of a revision, and say what is not as it was recorded."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.events import KINDS, Event
from geographer.log.digests import EMPTY, event_digest, row_digest_sql, rows_digests
from geographer.log.read import events_between
from geographer.log.tables import KEYS, TABLES
from geographer.projections.project import rebuild
from geographer.provenance.checkout import File, features_shown, files_of
from geographer.queries.revision import Revision, opened
from geographer.values import Checksums

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

    from geographer.database.engine import Engine
    from geographer.rasters.store import Store

DATA_FOLDERS: Final = ("rasters", "labels")


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

    def as_json(self) -> dict[str, Any]:
        """The finding as JSON."""
        return asdict(self)


def verify(
    engine: Engine, store: Store, position: int, *, shown: int | None, expect: str | None, repair: bool
) -> list[Finding]:
    """Everything that is not as it was recorded: in the log, and in the files of the revision at `position`.

    Args:
        engine: Of the dataset.
        store: Its bytes.
        position: Whose files.
        shown: The position that the workspace's files are at; orphans are looked for against it.
        expect: A digest that was kept elsewhere.
        repair: Remove orphans, and rebuild the projection when the log is sound. The log is never touched.
    """
    with engine.attached(log="r") as connection:
        findings = list(log_findings(connection))
    sound = not findings
    if repair and sound:
        rebuild(engine)
    with opened(engine, position) as revision:
        if expect is not None:
            findings += expectation_findings(revision, expect)
        findings += file_findings(revision, store, in_workspace=shown == position)
        known = {file.path for file in files_of(revision, shown)} if shown is not None else set()
        known |= {row[0] for row in revision.rows("SELECT path FROM state.raster WHERE storage = 'reference'")}
    strays = orphans(store.root, known) if shown is not None else []
    if repair:
        remove(strays)
        return findings
    return findings + list(orphan_findings(store.root, strays))


def expectation_findings(revision: Revision, expected: str) -> Iterator[Finding]:
    """Whether a digest that was kept elsewhere is still here: of an event up to the revision, or of its content."""
    events = events_between(revision.connection, up_to=revision.position)
    if not any(
        digest.startswith(expected) for digest in (*(event.digest for event in events), revision.content_digest())
    ):
        detail = (
            f"no event has the digest that was expected; the log ends at @{events[-1].position} {events[-1].digest}"
        )
        yield Finding("truncated or rewritten log", expected, None, detail)


def log_findings(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """What is wrong with the log itself: edited, dropped, reordered or inserted events and rows."""
    events = events_between(connection)
    yield from _chain_findings(events)
    yield from _row_findings(connection, events)


def file_findings(revision: Revision, store: Store, *, in_workspace: bool) -> Iterator[Finding]:
    """What is wrong with the revision's files: in the cache, in the workspace if that shows it, and outside DVC."""
    files = files_of(revision, revision.position)
    damaged = _cache_damage(store, files, in_workspace=in_workspace)
    for file, damage, place in damaged:
        yield _file_finding(revision, file, damage, place)
    rows = revision.rows(
        "SELECT path, size, md5, sha256, raster_id FROM raster_now WHERE storage = 'reference' ORDER BY path"
    )
    for path, size, md5, sha256, raster_id in rows:
        file = File(path, Checksums(size, md5, sha256), raster_id, None)
        harm = _damage(store.root / path, file)
        if harm:
            yield _file_finding(revision, file, harm, "where it was referenced")


def orphans(root: Path, known: Iterable[str]) -> list[Path]:
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


def remove(paths: Iterable[Path]) -> None:
    """Remove orphans: files, and folders of drafts."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _chain_findings(events: list[Event]) -> Iterator[Finding]:
    before: Event | None = None
    for event in events:
        which = f"@{event.position} {event.kind}"
        if event_digest(event.fact()) != event.digest:
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


def _cache_damage(store: Store, files: list[File], *, in_workspace: bool) -> list[tuple[File, str, str]]:
    """Each damaged copy: the file, 'missing' or 'altered', and where."""
    damage = store.check([file.checksums for file in files])
    absent = [file.checksums.md5 for file in files if damage.get(file.checksums.md5) == "missing"]
    if absent:
        fetched = store.fetch(absent)
        damage = {md5: harm for md5, harm in damage.items() if md5 not in absent} | dict(fetched)
    found: list[tuple[File, str, str]] = []
    for file in files:
        here = _damage(store.root / file.path, file) if in_workspace else None
        if here:
            found.append((file, here, "in the workspace"))
        harm = damage.get(file.checksums.md5)
        # What the cache lacks is not lost while the workspace has it.
        if harm == "altered" or (harm == "missing" and (here or not in_workspace)):
            found.append((file, harm, "in DVC's cache and remote" if harm == "missing" else "in DVC's cache"))
    return found


def _damage(path: Path, file: File) -> str | None:
    from geographer.rasters.checksums import checksums_of_file

    if not path.is_file():
        return "missing"
    return None if checksums_of_file(path) == file.checksums else "altered"


def _file_finding(revision: Revision, file: File, damage: str, place: str) -> Finding:
    since = revision.value(
        "SELECT max(valid_from) FROM (SELECT valid_from FROM raster_now WHERE raster_id = $id AND path = $path "
        "UNION ALL SELECT valid_from FROM label_now WHERE raster_id = $id AND path = $path)",
        {"id": file.raster_id, "path": file.path},
    )
    touched = features_shown(revision, [file.raster_id])
    what = f"label '{file.label}' of raster '{file.raster_id}'" if file.label else f"raster '{file.raster_id}'"
    detail = f"{what} is {damage} {place}; it shows the features {', '.join(touched) if touched else '(none)'}"
    return Finding(f"{damage} {'label' if file.label else 'raster'}", file.path, since, detail)
