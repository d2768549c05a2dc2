"""Keep what was counted in the pixels of files, so that nothing is read twice; it may be deleted at any time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from geographer.base.atomic_files import write_atomic
from geographer.base.errors import StorageError

Counts = TypeVar("Counts")

_FOLDER: Final = "statistics"
_VERSION: Final = 1
"""Raise it when what is counted, or how it is stored, changes."""
_MAX_FILES: Final = 200


class StatisticsCache:
    """Counts of sets of files in the dataset's own folder, each in a file named after a digest of what it depends on.

    A file is JSON with a digest of its content: one that is damaged counts as missing. A folder that cannot be
    written keeps nothing. Of many files, those written last are kept.
    """

    def __init__(self, folder: Path) -> None:
        """Use the dataset's own folder, `.geographer`."""
        self._folder = folder / _FOLDER

    def load_counts(self, key: str, make: Callable[[Any], Counts]) -> Counts | None:
        """Return what `make` makes of the record with a key; None if there is none, or it is damaged."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError):
            document = json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8"))
            record = document["record"]
            if document["digest"] == _digest_record(key, record):
                return make(record)
        return None

    def save_counts(self, key: str, record: Any) -> None:
        """Keep a record."""
        document = {"digest": _digest_record(key, record), "record": record}
        with suppress(StorageError, OSError):
            write_atomic(self._folder / f"{key}.json", json.dumps(document).encode())
            self._delete_old_files()

    def _delete_old_files(self) -> None:
        files = [*self._folder.glob("*.json")]
        if len(files) > _MAX_FILES:
            for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)[:-_MAX_FILES]:
                path.unlink()


def make_key(kind: Iterable[Any], contents: Iterable[str]) -> str:
    """Return the key of the counts of files, by what is counted and their contents in order."""
    text = json.dumps([_VERSION, *kind, *contents])
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_record(key: str, record: Any) -> str:
    return hashlib.sha256(f"{key}\n{json.dumps(record)}".encode()).hexdigest()
