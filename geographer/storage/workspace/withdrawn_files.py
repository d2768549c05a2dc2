"""Withdrawn files: rasters' bytes that were deleted everywhere, while the log keeps their digests."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import duckdb

from geographer.base.atomic_files import translate_os_errors, write_atomic
from geographer.base.errors import ConflictError, quote_objects
from geographer.base.text import format_count
from geographer.base.values import Checksums
from geographer.storage.events.plain_rows import list_values
from geographer.storage.log.branches import read_branch
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.paths import SafeFolder, is_recorded_file

if TYPE_CHECKING:
    from geographer.storage.dvc.store import Store
    from geographer.storage.events.plain_rows import PlannedRows

_QUERY: Final = Path(__file__).with_name("withdrawn_files.sql")
_HAS_TABLE: Final = "FROM duckdb_tables() WHERE database_name = 'log' AND table_name = 'withdrawn_file'"
_LAST_VERSIONS: Final = (
    "SELECT raster_id, md5 FROM chain_raster_change WHERE change <> 'removed' AND position <= getvariable('position') "
    "AND raster_id IN (SELECT unnest($ids::VARCHAR[])) QUALIFY position = max(position) OVER (PARTITION BY raster_id)"
)
_LAST_POSITION: Final = (1 << 63) - 1
MARKER: Final = "withdrawn.sha256"
"""The file in the dataset's own folder that says which withdrawn files are known to be deleted on this machine."""


class WithdrawnFile(NamedTuple):
    """A withdrawn file: the raster that had it, and the event that withdrew it, with the reason."""

    md5: str
    raster_id: str
    path: str
    sha256: str
    size: int
    position: int
    reason: str

    def format_reason(self) -> str:
        """Return since when the file is withdrawn, and why."""
        return f"withdrawn @{self.position}: {self.reason}"


def list_withdrawn_files(
    connection: duckdb.DuckDBPyConnection, branch: str | None = None, head: int | None = None
) -> dict[str, WithdrawnFile]:
    """Return the files that were withdrawn up to position `head` of a chain, or up to its last event, by MD5.

    An event from elsewhere cannot have any other file deleted: what the named raster never had is not withdrawn, nor
    what a raster or a label of the head has.
    """
    if not connection.execute(_HAS_TABLE).fetchone():
        return {}
    if not connection.execute("FROM log.withdrawn_file LIMIT 1").fetchone():
        return {}
    files: dict[str, WithdrawnFile] = {}
    values = {"branch": branch or read_branch(connection), "head": _LAST_POSITION if head is None else head}
    for row in connection.execute(_QUERY.read_text(), values).fetchall():
        files.setdefault(row[0], WithdrawnFile(*row))
    return files


def list_withdrawn_md5s(revision: Revision) -> set[str]:
    """Return the MD5s of all files that were withdrawn up to the log's head, also after `revision`."""
    return {*list_withdrawn_files(revision.plain_connection)}


def describe_withdrawn_files(files: Iterable[WithdrawnFile]) -> list[str]:
    """Return a line for each raster and event: `withdrawn: 2 files of raster 'x' since @9 (the licence ended)`."""
    counts = Counter((file.position, file.reason, file.raster_id) for file in files)
    return [
        f"withdrawn: {format_count(count, 'file')} of raster '{raster_id}' since @{position} ({reason})"
        for (position, reason, raster_id), count in sorted(counts.items())
    ]


def reject_withdrawn_rows(revision: Revision, rows: Mapping[str, PlannedRows]) -> None:
    """Raise `ConflictError` if an event's rows, by log table, would record bytes that were withdrawn."""
    withdrawn = list_withdrawn_files(revision.plain_connection)
    for table in ("raster_change", "label_change") if withdrawn else ():
        if table in rows:
            _reject_withdrawn(withdrawn, _iter_recorded_md5s(revision, rows[table]))


def reject_withdrawn_rasters(revision: Revision, raster_ids: Iterable[str]) -> None:
    """Raise `ConflictError` if the last version of one of the rasters was withdrawn."""
    if withdrawn := list_withdrawn_files(revision.plain_connection):
        _reject_withdrawn(withdrawn, revision.fetch_rows(_LAST_VERSIONS, {"ids": [*raster_ids]}))


def reject_withdrawn_revision(revision: Revision) -> None:
    """Raise `ConflictError` if a revision of another dataset has rasters that were withdrawn there."""
    withdrawn = list_withdrawn_files(revision.plain_connection)
    rows = revision.fetch_rows("SELECT raster_id, md5 FROM current_raster WHERE storage = 'dvc'") if withdrawn else []
    found = [withdrawn[md5] for _, md5 in rows if md5 in withdrawn]
    if found:
        raise ConflictError(
            f"cannot import @{revision.position} of that dataset: {quote_objects('raster', [found[0].raster_id])} was "
            f"{found[0].format_reason()}. Import a revision after that."
        )


def _iter_recorded_md5s(revision: Revision, rows: PlannedRows) -> list[tuple[str, str]]:
    if isinstance(rows, str):
        query = f"SELECT raster_id, md5 FROM {rows} WHERE change <> 'removed' AND md5 IS NOT NULL"  # noqa: S608
        return revision.fetch_rows(query)
    columns = (list_values(rows, name) for name in ("change", "raster_id", "md5"))
    return [(raster_id, md5) for change, raster_id, md5 in zip(*columns, strict=True) if change != "removed" and md5]


def _reject_withdrawn(withdrawn: Mapping[str, WithdrawnFile], md5_of_raster: Iterable[tuple[str, str]]) -> None:
    """Raise `ConflictError` if a raster has a withdrawn file."""
    found = {raster_id: withdrawn[md5] for raster_id, md5 in md5_of_raster if md5 in withdrawn}
    if found:
        file = next(iter(found.values()))
        raise ConflictError(
            f"{quote_objects('raster', sorted(found), 'has|have')} bytes that were {file.format_reason()}. "
            "Withdrawn bytes cannot be stored again; leave them out."
        )


def delete_withdrawn_objects(revision: Revision, store: Store) -> None:
    """Delete the withdrawn files from the workspace, DVC's cache and the retained objects; it can be repeated.

    Raises:
        StorageError: a file cannot be deleted.
    """
    files = list_withdrawn_files(revision.plain_connection)
    for path in iter_present_files(store.root, files.values()):
        with translate_os_errors(path):
            path.unlink(missing_ok=True)
    with translate_os_errors(store.root):
        store.delete_objects(files)


def complete_withdrawals(revision: Revision, store: Store, folder: Path) -> None:
    """Delete withdrawn files as `delete_withdrawn_objects`, unless the marker in `folder` says that it was done."""
    md5s = list_withdrawn_md5s(revision)
    digest = hashlib.sha256(" ".join(sorted(md5s)).encode()).hexdigest().encode()
    marker = folder / MARKER
    if md5s and not (marker.is_file() and marker.read_bytes() == digest):
        delete_withdrawn_objects(revision, store)
        write_atomic(marker, digest)


def iter_present_files(root: Path, files: Iterable[WithdrawnFile]) -> Iterator[Path]:
    """Yield the withdrawn files that are in the workspace of the dataset in `root`, with their recorded bytes."""
    workspace = SafeFolder(root)
    for file in files:
        # A path that leads elsewhere is reported by `verify`.
        with suppress(ConflictError):
            path = workspace.require_inside(file.path)
            is_link = path.is_symlink() and path.readlink().parts[-2:] == (file.md5[:2], file.md5[2:])
            if is_link or (path.is_file() and is_recorded_file(path, Checksums(file.size, file.md5, file.sha256))):
                yield path


def find_present_objects(store: Store, files: Iterable[WithdrawnFile]) -> list[WithdrawnFile]:
    """Return the withdrawn files that DVC's cache or the retained objects still have."""
    files = list(files)
    missing = {*store.list_missing_objects(file.md5 for file in files)}
    return [file for file in files if file.md5 not in missing]
