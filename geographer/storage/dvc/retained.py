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
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from geographer.base.atomic_files import TEMPORARY_FILES, temporary_sibling

RETAINED_FOLDER: Final = "geographer/md5"
"""The folder of the retained objects in the cache's folder, where DVC's own objects are in `files/md5`."""
_PREFIX: Final = re.compile(r"[0-9a-f]{2}")
_NAME: Final = re.compile(r"[0-9a-f]{30}(\.dir)?")
_make_md5 = partial(hashlib.md5, usedforsecurity=False)


class _ObjectDb(Protocol):
    """The methods of DVC's local object database that are used here."""

    def oid_to_path(self, oid: str, /) -> str: ...
    def makedirs(self, path: str, /) -> None: ...
    def protect(self, path: Path, /) -> None: ...


class RetainedObjects:
    """The retained objects beside `cache`, DVC's local object database; objects are named by MD5, as in DVC."""

    def __init__(self, cache: _ObjectDb) -> None:
        self._cache = cache
        self.cache_folder = Path(cache.oid_to_path("00" * 16)).parents[1]
        self.folder = self.cache_folder.parents[1] / RETAINED_FOLDER

    def find_object(self, md5: str) -> Path | None:
        """Return the path of a retained object, or None if there is none."""
        path = self._make_path(md5)
        return Path(path) if os.path.isfile(path) else None  # noqa: PTH113 (called for each file of a revision)

    def link_objects(self, md5s: Iterable[str]) -> list[str]:
        """Retain objects of the cache; return those that the file system cannot link.

        Objects that the cache lacks are skipped. Those that are retained already cost two calls of `stat`.
        """
        failed = []
        for md5 in md5s:
            try:
                source = os.stat(self._cache.oid_to_path(md5))  # noqa: PTH116 (called for each file of a revision)
            except OSError:
                continue
            with suppress(OSError):
                retained = os.stat(self._make_path(md5))  # noqa: PTH116
                if os.path.samestat(source, retained):
                    continue
            try:
                is_linked = self._link_file(self._cache.oid_to_path(md5), self._make_path(md5))
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
        with source.open("rb", buffering=0) as file:
            is_intact = hashlib.file_digest(file, _make_md5).hexdigest() == md5.removesuffix(".dir")
        if not is_intact:
            source.unlink()
            return False
        target = self._cache.oid_to_path(md5)
        if not self._link_file(str(source), target):
            with temporary_sibling(Path(target)) as temporary:
                shutil.copyfile(source, temporary)
                self._cache.protect(temporary)
                temporary.replace(target)
        return True

    def delete_objects(self, md5s: Iterable[str]) -> None:
        """Delete objects from the cache and from the retained ones; those that are not there are skipped."""
        for md5 in md5s:
            for path in (self._cache.oid_to_path(md5), self._make_path(md5)):
                with suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108 (called for each object of a dataset)

    def list_objects(self) -> dict[str, int]:
        """Return the sizes in bytes of all objects, in the cache or retained, by MD5; `MD5.dir` for listings."""
        return _scan_objects(self.folder) | _scan_objects(self.cache_folder)

    def list_retained(self) -> set[str]:
        """Return the names of the retained objects."""
        return _scan_objects(self.folder).keys() | set()

    def _make_path(self, md5: str) -> str:
        return f"{self.folder}{os.sep}{md5[:2]}{os.sep}{md5[2:]}"

    def _link_file(self, source: str, target: str) -> bool:
        """Link or clone a file atomically, in the place of an existing one; return whether the file system can."""
        from dvc_objects.fs.system import hardlink, reflink

        folder = os.path.dirname(target)  # noqa: PTH120 (called for each file of a revision)
        if not os.path.isdir(folder):  # noqa: PTH112
            self._cache.makedirs(folder)
        temporary = f"{folder}{os.sep}{TEMPORARY_FILES.removesuffix('*')}{secrets.token_hex(8)}"
        try:
            for link in (hardlink, reflink):
                with suppress(OSError):
                    link(source, temporary)
                    if link is reflink:
                        self._cache.protect(Path(temporary))
                    os.replace(temporary, target)  # noqa: PTH105
                    return True
            return False
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108


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
