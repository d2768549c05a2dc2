"""What a person can act on: every error names the thing and the next step, and belongs to an exit-code family."""

from __future__ import annotations


class GeographerError(Exception):
    """Base of the errors that `geographer` raises on purpose.

    `exit_code` is the family that the command line reports; a script can tell them apart without reading text.
    """

    exit_code = 1


class UsageError(GeographerError):
    """What was passed can't be used: a bad option, an invalid geometry, a raster without a CRS."""

    exit_code = 2


class UnsupportedProductError(UsageError):
    """What an archive delivered can't be read with these options; others may read it."""


class NotFoundError(GeographerError):
    """No file, class, column, collection, revision or id of that name."""

    exit_code = 3


class PluginError(NotFoundError):
    """A selector, cutter or label maker of a person's own that can't be imported in this process."""


class ConflictError(GeographerError):
    """It clashes with what is there: an id that exists, a head that moved, a split that would leak."""

    exit_code = 4


class CorruptError(GeographerError):
    """Bytes that are not what the log says, or a file that is damaged."""

    exit_code = 5


class StorageError(GeographerError):
    """The disk, a remote or a lock: nothing is wrong with what was asked; try again when it is mended."""

    exit_code = 6


class SourceError(StorageError):
    """An archive did not deliver.

    Attributes:
        passing: It may pass by itself, so it is worth trying again soon.
        wait: How many seconds the archive asked to wait before that.
    """

    def __init__(self, message: str, *, retryable: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after


class OrderRequiredError(SourceError):
    """A product that the archive has to bring back from its store first: it was ordered; a later run gets it."""


def quote_names(names: list[str], limit: int = 5) -> str:
    """`'a', 'b', 'c' and 7 more`: as many names as a person reads."""
    shown = ", ".join(f"'{thing}'" for thing in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"
