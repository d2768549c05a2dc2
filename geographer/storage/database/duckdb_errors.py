"""Kinds of DuckDB errors that only DuckDB's own message tells apart; no other module reads a message."""

from __future__ import annotations

import errno
import os
from typing import Final

import duckdb

# DuckDB 1.5: errors carry no code, and one class serves several causes. Its tests here fail if a message changes.
_LOCK_MESSAGES: Final = ("Could not set lock", "Unique file handle conflict", "Conflicting lock")
_FULL_DISK_MESSAGE: Final = "No space left"
_DAMAGE_MESSAGE: Final = "orrupt database file"
_INTERRUPT_MESSAGE: Final = "Query interrupted"
_DURABLE_MESSAGE: Final = "COMMIT succeeded"
_NEWER_FILE_MESSAGE: Final = "read a database file with version number"
_WAL_MESSAGE: Final = "replaying WAL file"
_DISK_BUDGET_MESSAGE: Final = "max_temp_directory_size"
_READ_ONLY: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_DISK: Final = (
    *_READ_ONLY,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
)
_DAMAGE_ERRORS: Final = (
    duckdb.IOException,
    duckdb.SerializationException,
    duckdb.InternalException,
    duckdb.FatalException,
    duckdb.TransactionException,
)


def is_lock_error(error: BaseException) -> bool:
    """Return whether another process or connection holds the file."""
    is_possible = isinstance(error, duckdb.IOException | duckdb.BinderException)
    return is_possible and any(message in str(error) for message in _LOCK_MESSAGES)


def is_disk_error(error: BaseException) -> bool:
    """Return whether a file cannot be written; a COMMIT on a full disk raises a `TransactionException`."""
    return isinstance(error, duckdb.IOException) or _FULL_DISK_MESSAGE in str(error)


def is_permission_error(error: BaseException) -> bool:
    """Return whether the user may not write the file, or its file system is read-only."""
    return isinstance(error, duckdb.IOException) and _has_reason(error, _READ_ONLY)


def can_mean_damage(error: BaseException) -> bool:
    """Return whether a damaged file can be the reason of an error: the system names no other reason."""
    is_possible = isinstance(error, _DAMAGE_ERRORS) or type(error) is duckdb.Error
    return is_possible and not is_lock_error(error) and not _has_reason(error, _DISK)


def is_damage_error(error: BaseException) -> bool:
    """Return whether DuckDB met a damaged block of a database file."""
    return can_mean_damage(error) and _DAMAGE_MESSAGE in str(error)


def is_wal_error(error: BaseException) -> bool:
    """Return whether the write-ahead log beside the file cannot be read."""
    return _WAL_MESSAGE in str(error)


def is_newer_file_error(error: BaseException) -> bool:
    """Return whether a newer version of DuckDB wrote the file."""
    return _NEWER_FILE_MESSAGE in str(error)


def is_disk_budget_error(error: BaseException) -> bool:
    """Return whether the temporary files of a query exceed the size that they may have."""
    return isinstance(error, duckdb.OutOfMemoryException) and _DISK_BUDGET_MESSAGE in str(error)


def is_commit_durable(error: BaseException) -> bool:
    """Return whether a failed COMMIT wrote the transaction to the write-ahead log, but not to the file itself."""
    return _DURABLE_MESSAGE in str(error)


def is_interrupt(error: BaseException) -> bool:
    """Return whether Ctrl-C ended a query: DuckDB raises a plain `RuntimeError` for it."""
    return isinstance(error, duckdb.InterruptException) or (
        type(error) is RuntimeError and str(error) == _INTERRUPT_MESSAGE
    )


def _has_reason(error: BaseException, numbers: tuple[int, ...]) -> bool:
    return any(os.strerror(number) in str(error) for number in numbers)
