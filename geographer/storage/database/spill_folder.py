"""Memory limit and spill folder of a database: queries write there what exceeds the limit."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final
from uuid import uuid4

import duckdb

from geographer.base.resource_limits import (
    DISK_VARIABLE,
    MEMORY_VARIABLE,
    ResourceLimits,
    choose_disk_limit,
    format_byte_count,
)
from geographer.storage.database.duckdb_errors import is_disk_budget_error

_PREFIX: Final = "spill-"
_MAX_AGE_S: Final = 7 * 24 * 3600.0
"""Age at which folders of other machines are taken for abandoned: their processes cannot be seen from here."""


def limit_resources(connection: duckdb.DuckDBPyConnection, limits: ResourceLimits, parent: Path | None = None) -> None:
    """Limit the memory of a new in-memory database; what exceeds it is written to a spill folder in `parent`."""
    folder = choose_spill_folder(parent)
    set_limits(connection, limits, folder.parent)
    connection.execute("SET temp_directory = $folder", {"folder": str(folder)})


def set_limits(connection: duckdb.DuckDBPyConnection, limits: ResourceLimits, parent: Path) -> None:
    """Limit the memory of a database and the size of its spill folder, which lies in `parent`.

    In the configuration of a new database, DuckDB 1.5 accepts the latter and ignores it.
    """
    connection.execute(
        f"SET memory_limit = '{limits.query_memory}B'; "
        f"SET max_temp_directory_size = '{choose_disk_limit(parent, limits)}B'"
    )


def explain_memory_error(error: duckdb.OutOfMemoryException, limits: ResourceLimits) -> str:
    """Return the message for a query that needs more memory, or more space in the spill folder, than it may use."""
    if is_disk_budget_error(error):
        budget = "half of the free space" if limits.disk is None else format_byte_count(limits.disk)
        return (
            f"not enough disk: the temporary files of a query need more than the disk limit, {budget}. Nothing was "
            "changed. Raise it "
            f"(--disk-limit, {DISK_VARIABLE}), raise the memory limit (--memory-limit), or free some space."
        )
    return (
        f"not enough memory: a query needs more memory than the limit, {format_byte_count(limits.memory)}. Nothing was "
        "changed. Raise it "
        f"(--memory-limit, {MEMORY_VARIABLE}), or run the command on a machine with more memory."
    )


def choose_spill_folder(parent: Path | None) -> Path:
    """Return a new path in `parent`, or in the system's temporary folder if that is None or may not be written.

    DuckDB creates the folder when it first needs it, and deletes it when its database is closed. Folders that killed
    processes left in the parent are deleted here.
    """
    if parent is None or not os.access(parent, os.W_OK | os.X_OK):
        parent = Path(tempfile.gettempdir())
    _delete_abandoned_folders(parent)
    return parent / f"{_make_prefix()}{os.getpid()}-{uuid4().hex[:8]}"


def list_abandoned_folders(parent: Path) -> list[Path]:
    """Return the spill folders in `parent` whose processes have ended."""
    try:
        names = [name for name in os.listdir(parent) if name.startswith(_PREFIX)]  # noqa: PTH208 (is the fastest)
    except OSError:
        return []
    return [parent / name for name in sorted(names) if _is_abandoned(parent / name)]


@cache
def _delete_abandoned_folders(parent: Path) -> None:
    for folder in list_abandoned_folders(parent):
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _make_prefix() -> str:
    """Return the prefix of the folders of this machine, or of this container: process ids are unique in it."""
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 (is the fastest)
    except OSError:
        namespace = 0
    return f"{_PREFIX}{socket.gethostname()}-{namespace}-"


def _is_abandoned(folder: Path) -> bool:
    with suppress(OSError):
        if folder.is_symlink() or not folder.is_dir():
            return False
        if folder.name.startswith(_make_prefix()):
            process = folder.name.removeprefix(_make_prefix()).partition("-")[0]
            return process.isdecimal() and not _is_running(int(process))
        return time.time() - folder.stat().st_mtime > _MAX_AGE_S
    return False


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
