"""Retained objects: hard links to objects of DVC's cache, in a folder beside it, which `dvc gc` does not delete.

A retained object takes no space while the cache has it. Where hard links are not allowed it is a reflink, which takes
none either; it is never a copy.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from geographer.base.atomic_files import TEMPORARY_FILES, temporary_sibling
from geographer.base.errors import CorruptError

RETAINED_FOLDER: Final = "geographer/md5"
"""The folder of the retained objects in the cache's folder, where DVC's own objects are in `files/md5`."""
_OBJECT: Final = re.compile(r"[0-9a-f]{32}(\.dir)?")
_PREFIX: Final = re.compile(r"[0-9a-f]{2}")
_NAME: Final = re.compile(r"[0-9a-f]{30}(\.dir)?")
_READ_ONLY: Final = 0o444
_make_md5 = partial(hashlib.md5, usedforsecurity=False)


class RetainedObjects:
    """The objects in `cache_folder`, DVC's folder of objects, and those retained beside it, named by MD5 as in DVC.

    DVC itself is not needed, which takes half a second to import.
    """

    def __init__(self, cache_folder: Path) -> None:
        self.cache_folder = cache_folder
        self.folder = cache_folder.parents[1] / RETAINED_FOLDER

    def find_object(self, md5: str) -> Path | None:
        """Return the path of a retained object, or None if there is none."""
        path = join_object_path(self.folder, md5)
        return Path(path) if os.path.isfile(path) else None  # noqa: PTH113 (called for each file of a revision)

    def link_objects(self, md5s: Iterable[str]) -> list[str]:
        """Retain objects of the cache; return those that the file system cannot link.

        Objects that the cache lacks are skipped. Those that are retained already cost two calls of `stat`. If the
        cache has another file than the one retained, it is hashed: the retained object replaces an altered one.
        """
        failed = []
        for md5 in md5s:
            cached, retained = join_object_path(self.cache_folder, md5), join_object_path(self.folder, md5)
            try:
                source = os.stat(cached)  # noqa: PTH116 (called for each file of a revision)
            except OSError:
                continue
            try:
                with suppress(FileNotFoundError):
                    if os.path.samestat(source, os.stat(retained)):  # noqa: PTH116
                        continue
                    if not _is_intact(cached, md5):
                        self.restore_object(md5)
                        continue
                is_linked = self._link_file(cached, retained)
            except OSError:
                is_linked = False
            if not is_linked:
                failed.append(md5)
        return failed

    def restore_object(self, md5: str) -> bool:
        """Put a retained object back into the cache, if it has the right bytes; return whether it did.

        An altered one is deleted. `OSError` if the cache cannot be written.
        """
        source = self.find_object(md5)
        if source is None:
            return False
        if not _is_intact(source, md5):
            source.unlink()
            return False
        target = join_object_path(self.cache_folder, md5)
        if not self._link_file(str(source), target):
            with temporary_sibling(Path(target)) as temporary:
                shutil.copyfile(source, temporary)
                _protect(temporary)
                temporary.replace(target)
        return True

    def delete_objects(self, md5s: Iterable[str]) -> None:
        """Delete objects from the cache and from the retained ones; those that are not there are skipped."""
        for md5 in md5s:
            for path in (join_object_path(self.cache_folder, md5), join_object_path(self.folder, md5)):
                with suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108 (called for each object of a dataset)

    def list_objects(self) -> dict[str, int]:
        """Return the sizes in bytes of all objects, in the cache or retained, by MD5; `MD5.dir` for listings."""
        return _scan_objects(self.folder) | _scan_objects(self.cache_folder)

    def list_retained(self) -> set[str]:
        """Return the names of the retained objects."""
        return _scan_objects(self.folder).keys() | set()

    def _link_file(self, source: str, target: str) -> bool:
        """Link or clone a file atomically, in the place of an existing one; return whether the file system can."""
        folder = os.path.dirname(target)  # noqa: PTH120 (called for each file of a revision)
        if not os.path.isdir(folder):  # noqa: PTH112
            self._create_folder(Path(folder))
        temporary = f"{folder}{os.sep}{TEMPORARY_FILES.removesuffix('*')}{secrets.token_hex(8)}"
        try:
            for link in (os.link, _clone_file):
                with suppress(OSError):
                    link(source, temporary)
                    os.replace(temporary, target)  # noqa: PTH105
                    return True
            return False
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108

    def _create_folder(self, folder: Path) -> None:
        """Create a folder, and those above it, with the permissions of the cache's, which a group may share."""
        if folder.is_dir():
            return
        self._create_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        with suppress(OSError):
            folder.chmod(stat.S_IMODE(self.cache_folder.stat().st_mode))


def join_object_path(folder: Path, md5: str) -> str:
    """Return the path of an object in a folder of objects; see `require_object_name`."""
    require_object_name(md5)
    return f"{folder}{os.sep}{md5[:2]}{os.sep}{md5[2:]}"


def is_object_name(md5: str) -> bool:
    """Return whether a text is the MD5 of a file, or that of a folder's listing, which ends in `.dir`."""
    return _OBJECT.fullmatch(md5) is not None


def require_object_name(md5: str) -> None:
    """Raise `CorruptError` if a text, which may come from strangers, is not `is_object_name`."""
    if not is_object_name(md5):
        raise CorruptError(f"'{md5}' is not the MD5 of an object. Restore the file that names it, or fetch it again.")


def _is_intact(path: Path | str, md5: str) -> bool:
    """Return whether an object has the bytes that its name says; `OSError` if it cannot be read."""
    with Path(path).open("rb", buffering=0) as file:
        return hashlib.file_digest(file, _make_md5).hexdigest() == md5.removesuffix(".dir")


def _clone_file(source: str, target: str) -> None:
    """Clone a file: the copy shares its blocks on disk. `OSError` where the file system cannot."""
    from dvc_objects.fs.system import reflink

    reflink(source, target)  # type: ignore[no-untyped-call]
    _protect(Path(target))


def _protect(path: Path) -> None:
    """Make an object read-only, as DVC does; a file system that has no permissions may refuse."""
    with suppress(OSError):
        path.chmod(_READ_ONLY)


def _scan_objects(folder: Path) -> dict[str, int]:
    """Return the sizes of the files at `xx/yyyy…` in a folder whose names are those of objects."""
    sizes: dict[str, int] = {}
    if not folder.is_dir():
        return sizes
    with os.scandir(folder) as prefixes:
        names = sorted(entry.name for entry in prefixes if _PREFIX.fullmatch(entry.name) and entry.is_dir())
    for prefix in names:
        with os.scandir(folder / prefix) as entries:
            sizes |= {
                prefix + entry.name: entry.stat(follow_symlinks=False).st_size
                for entry in entries
                if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            }
    return sizes
