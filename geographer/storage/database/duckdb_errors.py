"""Kinds of DuckDB errors that only DuckDB's own message tells apart; no other module reads a message."""

from __future__ import annotations

from typing import Final

import duckdb

# DuckDB 1.5: errors carry no code, and one class serves several causes. Its tests here fail if a message changes.
_LOCK_MESSAGES: Final = ("Could not set lock", "Unique file handle conflict", "Conflicting lock")
_FULL_DISK_MESSAGE: Final = "No space left"
_INTERRUPT_MESSAGE: Final = "Query interrupted"


def is_lock_error(error: BaseException) -> bool:
    """Return whether another process or connection holds the file."""
    is_possible = isinstance(error, duckdb.IOException | duckdb.BinderException)
    return is_possible and any(message in str(error) for message in _LOCK_MESSAGES)


def is_disk_error(error: BaseException) -> bool:
    """Return whether a file cannot be written; a COMMIT on a full disk raises a `TransactionException`."""
    return isinstance(error, duckdb.IOException) or _FULL_DISK_MESSAGE in str(error)


def is_interrupt(error: BaseException) -> bool:
    """Return whether Ctrl-C ended a query: DuckDB raises a plain `RuntimeError` for it."""
    return type(error) is RuntimeError and str(error) == _INTERRUPT_MESSAGE
