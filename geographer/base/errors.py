"""Errors that users can act on: each names what failed, why and what to do, and has an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class GeographerError(Exception):
    """Base class of the errors that `geographer` raises on purpose; the command line exits with their `exit_code`."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        """Keep the message without credentials, which it may quote from the input; bytes not in UTF-8 are escaped."""
        from geographer.base.redaction import redact_text

        super().__init__(redact_text(message).encode(errors="backslashreplace").decode())


class UsageError(GeographerError):
    """Invalid input: a bad option, an invalid geometry, a raster without a CRS."""

    exit_code = 2


class UnsupportedProductError(UsageError):
    """A downloaded product cannot be read with the current reader options; other options may work."""


class MissingLibraryError(UsageError, ImportError):
    """An optional library is not installed; the message says which command installs it."""


class NotFoundError(GeographerError):
    """A file, class, column, collection, revision or id does not exist."""

    exit_code = 3


class PluginError(NotFoundError):
    """A user's selector, cutter, label maker, source or reader is not installed, or importing it fails."""


class ConflictError(GeographerError):
    """A request conflicts with the dataset: an id exists, the head has moved, a split would leak."""

    exit_code = 4


class UnsupportedVersionError(ConflictError):
    """A newer version of geographer wrote the dataset or the file."""


class CorruptError(GeographerError):
    """A file is damaged, or its bytes differ from what the log records."""

    exit_code = 5


class DamagedFileError(CorruptError):
    """The log or the state, a DuckDB file at `path`, cannot be read; the state can be derived again."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


class StorageError(GeographerError):
    """The disk, a remote or a lock failed; the request itself is valid and can be repeated."""

    exit_code = 6


class ReadOnlyError(StorageError):
    """The dataset cannot be changed: the user may not write its files, or their file system is read-only."""


class SourceError(StorageError):
    """An archive failed to answer or to deliver.

    If it is `retryable`, a retry may succeed without any change, after the `retry_after` seconds that the archive asked
    to wait. `passing` and `wait` are the names of version 0.1.0, which sources may use for one more release.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        passing: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = self.passing = retryable or passing
        self.retry_after = self.wait = wait if retry_after is None else retry_after


class CommandFailedError(GeographerError):
    """A command of `geographer run` failed; `exit_code` is its exit code, or 128 + the signal that ended it."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class AccessDeniedError(SourceError):
    """An archive rejected the login, so that other products are not delivered, either."""


class OrderRequiredError(SourceError):
    """A product is in the archive's long-term storage; it has been ordered, and a later run can download it.

    `order` is what the next attempt needs to know of the order, such as its id, and gets as `Product.order`, so that
    nothing is ordered twice. If not `is_ordered`, the archive takes no orders.
    """

    def __init__(
        self, message: str, *, order: Mapping[str, str] | None = None, is_ordered: bool = True, **more: Any
    ) -> None:
        super().__init__(message, **more)
        self.order, self.is_ordered = order or {}, is_ordered


def quote_names(names: list[str], limit: int = 5) -> str:
    """Return at most `limit` names, quoted: `'a', 'b', 'c' and 7 more`."""
    shown = ", ".join(f"'{name}'" for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"


def quote_objects(noun: str, names: list[str], verb: str = "") -> str:
    """Return names with their noun and a verb such as "is|are" that agree: `raster 'a' is`, `rasters 'a', 'b' are`."""
    plural = len(names) > 1
    ending = ("es" if noun.endswith("s") else "s") if plural else ""
    return " ".join(filter(None, (noun + ending, quote_names(names), verb.split("|")[plural] if verb else "")))
