"""Check the history folder: its segments against their `.dvc` file, and the lock file against the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import duckdb

from geographer.base.errors import ConflictError, CorruptError
from geographer.storage.database.connection import Database
from geographer.storage.database.dataset_folder import LOCK_FILE
from geographer.storage.dvc.dvc_check import read_dvc_file
from geographer.storage.dvc.dvc_files import compute_md5
from geographer.storage.dvc.store import Store
from geographer.storage.history.agreement import REBUILD_LOG, LockRelation, compare_lock
from geographer.storage.history.folder import HISTORY_DVC_FILE, HISTORY_FOLDER
from geographer.storage.history.lock_file import read_lock
from geographer.storage.history.segments import has_recorded_rows
from geographer.storage.log.check import Finding

REPAIRABLE: Final = frozenset(
    {"altered segment", "missing segment", "unreadable .dvc file", "stale lock file", "wrong lock file"}
    | {"missing .dvc file", "missing lock file"}
)
"""The findings that writing the history again clears."""
_REPAIR: Final = "Run geographer verify --repair to write the history folder again from the log."


def find_history_faults(
    database: Database, store: Store, compute_content_digest: Callable[[int], str], shown: int | None
) -> Iterator[Finding]:
    """Yield what is wrong with the lock file and the segments; nothing if the dataset has no history folder yet.

    `compute_content_digest` returns the content digest of the revision at a position, and `shown` is the position of
    the workspace. Where both are at an older commit of Git, nothing is wrong.
    """
    agreement = compare_lock(store.root, database, can_write=False)
    if agreement.relation is LockRelation.CATCH_UP:
        detail = f"it is at @{agreement.position}, because a command was interrupted"
        yield Finding("stale lock file", LOCK_FILE, agreement.position, detail, _REPAIR)
    elif agreement.problem and not (agreement.relation is LockRelation.BEHIND and shown == agreement.position):
        yield Finding("other lock file", LOCK_FILE, agreement.position, agreement.problem, "")
    if agreement.relation is LockRelation.BEHIND:
        # The segments that the commit names may have been joined since.
        return
    if agreement.position is not None:
        yield from _check_content_digest(store, agreement.position, compute_content_digest)
    has_dvc_file = (store.root / HISTORY_DVC_FILE).exists()
    has_lock = (store.root / LOCK_FILE).exists()
    if has_dvc_file:
        with database.open_connection(log="r") as connection:
            yield from _check_segments(connection, store)
    elif has_lock:
        yield Finding("missing .dvc file", HISTORY_DVC_FILE, None, "DVC does not know the history", _REPAIR)
    if has_dvc_file and not has_lock:
        yield Finding("missing lock file", LOCK_FILE, None, "Git does not know the head", _REPAIR)


def name_rebuilding(fault: Finding) -> Finding:
    """Return a fault of the lock file of a log that has faults, with the way to rebuild that log."""
    is_of_lock = fault.kind in {"wrong lock file", "other lock file"}
    return fault._replace(remedy=REBUILD_LOG) if is_of_lock else fault


def delete_damaged_segments(store: Store) -> None:
    """Delete the files and objects of segments whose bytes are not those of their checksum: the log has the events."""
    tracked = store.list_tracked_files(HISTORY_DVC_FILE) or {}
    for path, md5 in tracked.items():
        for file in (store.root / path, store.cache_path(md5)):
            if file.is_file() and compute_md5(file) != md5:
                file.unlink()


def _check_content_digest(
    store: Store, position: int, compute_content_digest: Callable[[int], str]
) -> Iterator[Finding]:
    lock = None
    with suppress(ConflictError, CorruptError):
        lock = read_lock(store.root)
    if lock is not None and lock.content_digest != (actual := compute_content_digest(position)):
        detail = f"it says that the content digest of @{position} is {lock.content_digest}, and the log gives {actual}"
        yield Finding("wrong lock file", LOCK_FILE, position, detail, _REPAIR)


def _check_segments(connection: duckdb.DuckDBPyConnection, store: Store) -> Iterator[Finding]:
    try:
        read_dvc_file(store.root / HISTORY_DVC_FILE)
    except CorruptError as error:
        yield Finding("unreadable .dvc file", HISTORY_DVC_FILE, None, str(error), _REPAIR)
        return
    tracked = store.list_tracked_files(HISTORY_DVC_FILE)
    if tracked is None:
        detail = "the list of its files is missing in DVC's cache and remote"
        yield Finding("missing segment", HISTORY_DVC_FILE, None, detail, _REPAIR)
        return
    for path, md5 in sorted(tracked.items()):
        file = store.root / path
        if not file.is_file():
            yield Finding("missing segment", path, None, f"it is missing in the folder '{HISTORY_FOLDER}'", _REPAIR)
        elif compute_md5(file) != md5:
            detail = f"its bytes are not those that '{HISTORY_DVC_FILE}' names"
            yield Finding("altered segment", path, None, detail, _REPAIR)
        elif not has_recorded_rows(connection, file):
            yield Finding("altered segment", path, None, "its rows do not match the digests of its events", _REPAIR)
        elif store.cache_path(md5).is_file() and compute_md5(store.cache_path(md5)) != md5:
            yield Finding("altered segment", path, None, "its copy in DVC's cache has other bytes", _REPAIR)
