"""File stamp: the status of the state's file when it was last right, so that an edit from outside is noticed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

_SUFFIX: Final = ".stamp"


def is_known_state_file(path: Path) -> bool:
    """Return whether nothing wrote to the state's file, or to its write-ahead log, since `remember_state_file`."""
    try:
        is_known = path.with_name(path.name + _SUFFIX).read_text() == _read_status(path)
        return is_known and not path.with_name(f"{path.name}.wal").exists()
    except (OSError, ValueError):
        return False


def remember_state_file(path: Path) -> None:
    """Remember the status of the state's file, whose rows are right. A failure only costs a check of all rows."""
    with suppress(OSError):
        path.with_name(path.name + _SUFFIX).write_text(_read_status(path))


def read_statuses(*paths: Path) -> str | None:
    """Return the status of files, which any change alters; None if one is missing or has a write-ahead log."""
    try:
        statuses = [_read_status(path) for path in paths]
    except OSError:
        return None
    has_wal = any(path.with_name(f"{path.name}.wal").exists() for path in paths)
    return None if has_wal else " ".join(statuses)


def _read_status(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
