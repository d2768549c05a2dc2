"""Verify a dataset: compare the log with its digests, and the files of a revision with their recorded checksums."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import duckdb

from geographer.base.atomic_files import check_file
from geographer.base.errors import UsageError
from geographer.base.values import Checksums
from geographer.storage.database.connection import Database
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER
from geographer.storage.dvc.store import Store
from geographer.storage.log.chain import CHAIN_EVENT
from geographer.storage.log.check import Finding as Finding
from geographer.storage.log.check import find_log_faults
from geographer.storage.log.read import is_supported_event, read_head
from geographer.storage.queries.revision import Revision, open_revision
from geographer.storage.state.update import is_state_unaltered, read_state_position, rebuild_state
from geographer.storage.workspace.checkout import TrackedFile, find_features_on_rasters

DATA_FOLDERS: Final = ("rasters", "labels")

_LOGGED_FILES: Final = Path(__file__).with_name("logged_files.sql")
_DIGEST: Final = re.compile(r"[0-9a-f]{6,64}")


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

    Files that the revision at `workspace_position` lacks are orphans. `expected_digest` is a digest or the beginning of
    one, kept outside the dataset. With `repair`, unless the log has faults, orphans are deleted and the state is
    rebuilt; the log is never changed.

    Raises:
        UsageError: `expected_digest` is not a digest.
    """
    with database.open_connection(log="r") as connection:
        findings = [*find_log_faults(connection), *_find_unknown_events(connection)]
        head = read_head(connection)
    state_position = read_state_position(database)
    if state_position > head.position:
        detail = f"the state was derived up to @{state_position}, and the log ends at @{head.position} {head.digest}"
        findings.append(Finding("truncated log", f"@{head.position + 1}", head.position + 1, detail))
    if repair and not findings:
        rebuild_state(database)
    elif not is_state_unaltered(database):
        detail = "its rows are not those that were derived from the log; --repair rebuilds it"
        findings.append(Finding("edited state", database.file_path("state").name, None, detail))
    with open_revision(database, position) as revision:
        if expected_digest is not None:
            findings += _check_expected_digest(revision, expected_digest)
        is_sound = not findings
        damages = _find_damages(revision, store, in_workspace=workspace_position == position)
        findings += [_make_file_finding(revision, *damage) for damage in damages]
        orphans = []
        if workspace_position is not None:
            known = {file.path for file in _list_logged_files(revision, workspace_position)}
            query = "SELECT path FROM chain_raster_change WHERE storage = 'reference'"
            orphans = _find_orphans(store.root, known | {path for (path,) in revision.fetch_rows(query)})
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
    if not _DIGEST.fullmatch(expected):
        raise UsageError(f"invalid digest '{expected}'. Use 6 to 64 hexadecimal characters.")
    digests = [digest for (digest,) in revision.fetch_rows("SELECT digest FROM events ORDER BY position")]
    if not any(digest.startswith(expected) for digest in (*digests, revision.compute_content_digest())):
        detail = f"no event has the expected digest; the log ends at @{revision.position} {digests[-1]}"
        yield Finding("truncated or rewritten log", expected, None, detail)


def _find_unknown_events(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    query = f"SELECT position, format, kind, version FROM {CHAIN_EVENT} ORDER BY position"  # noqa: S608
    for position, event_format, kind, version in connection.execute(query).fetchall():
        if not is_supported_event(event_format, kind, version):
            detail = "this version of geographer does not support that kind of event"
            yield Finding("unknown event", f"@{position} {kind}", position, detail)


def _find_orphans(root: Path, known_paths: set[str]) -> list[Path]:
    """List the files in the data folders that no event recorded, and staging folders that a crash left, by path."""
    files = [path for folder in DATA_FOLDERS for path in (root / folder).rglob("*") if path.is_file()]
    data = [path for path in files if path.suffix != ".dvc" and path.name != ".gitignore"]
    orphans = [path for path in data if path.relative_to(root).as_posix() not in known_paths]
    return sorted(orphans) + sorted((root / GEOGRAPHER_FOLDER / "staging").glob("*"))


def _list_logged_files(revision: Revision, position: int) -> list[TrackedFile]:
    """List the files of a revision from the log: an attacker who alters a file may alter the state too."""
    rows = revision.fetch_rows(_LOGGED_FILES.read_text(), {"at": position})
    return [
        TrackedFile(path, Checksums(*checksums), raster_id, label, storage == "reference", since)
        for path, *checksums, raster_id, label, storage, since in rows
    ]


def _find_damages(revision: Revision, store: Store, *, in_workspace: bool) -> Iterator[tuple[TrackedFile, str, str]]:
    """Yield each damaged copy of a file of the revision: the file, 'missing' or 'altered', and its location."""
    files = _list_logged_files(revision, revision.position)
    stored = [file for file in files if not file.is_referenced]
    found = store.check_files([file.checksums for file in stored])
    missing = [md5 for md5, damage in found.items() if damage == "missing"]
    cache_damage = {md5: damage for md5, damage in found.items() if damage != "missing"} | store.fetch_files(missing)
    for file in stored:
        path, checksums = store.root / file.path, file.checksums
        workspace_damage = check_file(path, checksums) if in_workspace else None
        if workspace_damage:
            yield file, workspace_damage, "in the workspace"
        damage = cache_damage.get(checksums.md5)
        # A file that only the cache lacks is not lost while the workspace has it.
        if damage == "altered" or (damage == "missing" and (workspace_damage or not in_workspace)):
            yield file, damage, "in DVC's cache and remote" if damage == "missing" else "in DVC's cache"
    for file in files:
        if file.is_referenced and (reason := check_file(store.root / file.path, file.checksums)):
            yield file, reason, "where it was referenced"


def _make_file_finding(revision: Revision, file: TrackedFile, damage: str, location: str) -> Finding:
    features = find_features_on_rasters(revision, [file.raster_id])
    name = f"label '{file.label}' of raster '{file.raster_id}'" if file.label else f"raster '{file.raster_id}'"
    detail = f"{name} is {damage} {location}; its features are {', '.join(features) if features else '(none)'}"
    return Finding(f"{damage} {'label' if file.label else 'raster'}", file.path, file.position, detail)
