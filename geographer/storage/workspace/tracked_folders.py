"""Tracked folders: the folders of stored files, and whether the `.dvc` file beside each lists files of this log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from geographer.base.errors import ConflictError, CorruptError, quote_names
from geographer.storage.dvc.dvc_files import FolderEntry, compute_address, encode_listing
from geographer.storage.history.lock_file import TAKE_OURS
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.checked_files import read_status

_PATTERNS: Final = ("rasters/*.dvc", "labels/*/*.dvc")
_MAX_DVC_FILE_BYTES: Final = 1 << 16
_VERSIONS: Final = "SELECT name, md5, size, valid_from, valid_to FROM folder_versions($folder)"


def list_dvc_files(root: Path) -> dict[str, str]:
    """Return the `.dvc` files of the dataset in `root` by path, each with its status."""
    paths = (path for pattern in _PATTERNS for path in sorted(root.glob(pattern)) if path.is_file())
    return {path.relative_to(root).as_posix(): read_status([path]).text for path in paths}


def require_known_dvc_files(revision: Revision, root: Path, dvc_files: Iterable[str]) -> None:
    """Raise `ConflictError` if one of the `.dvc` files is not that of a revision; see `find_unknown_dvc_files`."""
    if unknown := find_unknown_dvc_files(revision, root, dvc_files):
        if conflicts := [path for path in unknown if has_merge_conflict(root / path)]:
            raise ConflictError(f"{quote_names(conflicts)} has a conflict of a Git merge. {TAKE_OURS}")
        raise ConflictError(
            f"{quote_names(unknown)} lists other files than any revision of this log: it is damaged, or comes from a "
            "colleague (git pull) whose events this branch lacks. Write the .dvc files of this branch again with "
            "geographer checkout HEAD; get those events with geographer pull, or geographer fetch and geographer merge."
        )


def has_merge_conflict(path: Path) -> bool:
    """Return whether Git has left the markers of a conflict in a file."""
    try:
        with path.open("rb") as file:
            return any(line.startswith(b"<<<<<<< ") for line in file.read(_MAX_DVC_FILE_BYTES).splitlines())
    except OSError:
        return False


def find_unknown_dvc_files(revision: Revision, root: Path, dvc_files: Iterable[str]) -> list[str]:
    """Return those of the `.dvc` files that list other files than any revision of the log has in the folder."""
    from geographer.storage.workspace.paths import FILES_SQL

    revision.plain_connection.execute(FILES_SQL.read_text())
    return [path for path in dvc_files if not _is_known(revision, root / path, path.removesuffix(".dvc"))]


def _is_known(revision: Revision, dvc_file: Path, folder: str) -> bool:
    from geographer.storage.dvc.dvc_check import read_dvc_file

    if not dvc_file.exists():
        return True
    try:
        address = read_dvc_file(dvc_file).address
    except CorruptError:
        return False
    return any(address == compute_address(encode_listing(entries)) for entries in _iter_versions(revision, folder))


def _iter_versions(revision: Revision, folder: str) -> Iterator[list[FolderEntry]]:
    """Yield the files that a folder had after each change, the latest first."""
    rows = revision.fetch_rows(_VERSIONS, {"folder": folder})
    changes = {position for *_, start, end in rows for position in (start, end)}
    for position in sorted(changes, reverse=True):
        yield [(name, md5, size) for name, md5, size, start, end in rows if start <= position < end]
