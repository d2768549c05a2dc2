"""Checked files: remember in which status a file's content was right, and read it again only after a change."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from geographer.base.atomic_files import FileDamage, check_file
from geographer.base.errors import StorageError
from geographer.base.values import Checksums
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER

if TYPE_CHECKING:
    import sqlite3

_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS checked_file (path BLOB PRIMARY KEY, content TEXT, status TEXT) WITHOUT ROWID"
)
_FIND: Final = "SELECT 1 FROM checked_file WHERE path = ? AND content = ? AND status = ?"
_SAVE: Final = "INSERT OR REPLACE INTO checked_file VALUES (?, ?, ?)"
_DAMAGE_CODES: Final = (1, 11, 26)
"""SQLite's codes for a table of another shape, a damaged file, and a file that is no database."""
_SETTLING_NS: Final = 1_000_000_000
"""Two changes within one tick of a file system's clock look alike, so a file is remembered only when it is older."""


class FileStatus(NamedTuple):
    """The sizes, times of modification and change, and inodes of files, and the last of the times."""

    text: str
    changed_ns: int


def read_status(files: Collection[Path]) -> FileStatus:
    """Read the status of files, which any change of one alters; `OSError` if one is missing."""
    stats = [file.stat() for file in files]
    text = "\n".join(f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}" for stat in stats)
    return FileStatus(text, max(max(stat.st_mtime_ns, stat.st_ctime_ns) for stat in stats))


class CheckedFiles:
    """A memory, in `.geographer/checked_files.sqlite`, of files whose content was right, each with its status then.

    Each row is true for ever: while the file at that path has that status, it has that content. So rows of other
    processes are true, too, and rows may be lost: a damaged memory is deleted, and one that cannot be written keeps
    nothing. Use it as a context manager.
    """

    def __init__(self, root: Path) -> None:
        """Use the memory of the dataset in the folder `root`."""
        self._path = root / GEOGRAPHER_FOLDER / "checked_files.sqlite"
        self._prefix = f"{root}{os.sep}"
        self._connection: sqlite3.Connection | None = None
        self._new_rows: list[tuple[bytes, str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Save the files that were found right."""
        if self._new_rows:
            with self._open_database() as connection, connection:
                connection.executemany(_SAVE, self._new_rows)
        self._new_rows = []
        if self._connection:
            self._connection.close()
            self._connection = None

    def find_damage(self, path: Path, checksums: Checksums) -> FileDamage | None:
        """Compare a file with its checksums; read it only if its status is not one in which it was right before.

        `StorageError` if it cannot be read.
        """
        return self.find_damage_by(path, checksums.sha256, [path], partial(check_file, path, checksums))

    def find_damage_by(
        self, path: Path, content: str, files: Collection[Path], check: Callable[[], FileDamage | None]
    ) -> FileDamage | None:
        """Return what `check` says about a file whose `content` depends on `files`; call it only if they may be new."""
        try:
            status, now = read_status(files), time.time_ns()
            row = (os.fsencode(str(path).removeprefix(self._prefix)), content, status.text)
            if self._is_known(row):
                return None
            damage = check()
            if not damage and status.changed_ns < now - _SETTLING_NS and read_status(files) == status:
                self._new_rows.append(row)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return "missing"
            raise StorageError(f"cannot read '{path}': {error.strerror or error}. Make it readable.") from error
        return damage

    def _is_known(self, row: tuple[bytes, str, str]) -> bool:
        with self._open_database() as connection:
            return connection.execute(_FIND, row).fetchone() is not None
        return False

    @contextmanager
    def _open_database(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection; an error of SQLite is suppressed, and an empty memory is used from then on."""
        import sqlite3

        if self._connection is None:
            try:
                self._connection = self._connect_to(self._path)
            except sqlite3.Error as error:
                self._replace_database(error)
        assert self._connection
        try:
            yield self._connection
        except sqlite3.Error as error:
            self._replace_database(error)

    def _connect_to(self, path: Path | str) -> sqlite3.Connection:
        import sqlite3

        connection = sqlite3.connect(path, timeout=1)
        try:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(_TABLE)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _replace_database(self, error: sqlite3.Error) -> None:
        if self._connection:
            self._connection.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE_CODES:
            with suppress(OSError):
                self._path.unlink()
        self._connection = self._connect_to(":memory:")
