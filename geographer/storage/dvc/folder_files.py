"""The files of a remote that is a folder: a head is written to a temporary file, and linked to its name."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Final

from geographer.base.atomic_files import temporary_sibling
from geographer.storage.dvc.remote_files import BackendFiles, Item, Result, make_object_path

_UNSUPPORTED_LINK: Final = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EMLINK, errno.EACCES}


class FolderFiles(BackendFiles):
    """Files in a folder of this machine or of a network file system."""

    can_claim = True
    _can_clone = True

    def create_file(self, path: str, content: bytes, is_current: Callable[[], bool]) -> bool | None:
        """Write a temporary file and link it to its name, which fails if that exists."""
        target = Path(self.join_path(path))
        with temporary_sibling(target) as temporary:
            _write_synced(temporary, content, "xb")
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno in _UNSUPPORTED_LINK:
                    return None
                raise
        return True

    def claim_file(self, path: str) -> bool:
        """Create an empty file with O_EXCL."""
        try:
            _write_synced(Path(self.join_path(path)), b"", "xb")
        except FileExistsError:
            return False
        return True

    def write_file(self, path: str, content: bytes) -> None:
        """Write the content in place."""
        _write_synced(Path(self.join_path(path)), content, "r+b")

    def put_file(self, path: str, source: Path) -> None:
        """Copy to a temporary file and rename it."""
        target = Path(self.join_path(path))
        with temporary_sibling(target) as temporary:
            shutil.copyfile(source, temporary)
            temporary.replace(target)

    def get_file(self, path: str, target: Path) -> None:
        """Copy the file, or clone it where the file system can."""
        source = self.join_path(path)
        if self._can_clone:
            from dvc_objects.fs.system import reflink

            try:
                reflink(source, str(target))  # type: ignore[no-untyped-call]
                return
            except FileNotFoundError:
                raise
            except OSError:
                self._can_clone = False
        shutil.copyfile(source, target)

    def run_parallel(self, work: Callable[[Item], Result], items: Collection[Item]) -> list[Result]:
        """Call a function for each item, one after the other: threads cost more than they gain in a folder."""
        return list(map(work, items))

    def find_objects(self, md5s: Collection[str]) -> set[str]:
        """Return those of the objects that the folder has."""
        return {md5 for md5 in md5s if Path(self.join_path(make_object_path(md5))).is_file()}

    def list_names(self, path: str) -> list[str]:
        """Return the names in a folder, which need not exist."""
        try:
            return os.listdir(self.join_path(path))  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return []

    def delete_files(self, paths: Iterable[str]) -> None:
        """Delete files; those that are not there are skipped."""
        for path in paths:
            Path(self.join_path(path)).unlink(missing_ok=True)


def _write_synced(path: Path, content: bytes, mode: str) -> None:
    with path.open(mode) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
