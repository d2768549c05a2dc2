"""The files of an audited folder: images, labels and documents, and which of them an entry of a list means."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from geographer.base.errors import NotFoundError, StorageError
from geographer.outputs.audit.names import is_label_path, replace_subset
from geographer.outputs.audit.report import show_path

_DOCUMENTS = ".txt .csv .tsv .json .jsonl .parquet .geoparquet .yaml .yml .xml"
DOCUMENT_SUFFIXES: Final = frozenset(_DOCUMENTS.split())
_ARCHIVES = ".zip .tar .gz .tgz .bz2 .7z .rar .xz .zst"
_ARCHIVE_SUFFIXES: Final = frozenset(_ARCHIVES.split())
_SKIPPED_FOLDERS: Final = frozenset({"__MACOSX", "__pycache__", "node_modules"})
_EXAMPLES: Final = 3


class FolderIndex:
    """The files below a folder, by relative path with `/`; nothing outside of the folder is ever answered.

    Attributes:
        root: The folder.
        images: The paths of image files that are not labels, sorted.
        labels: The paths of image files that look like masks, sorted.
        documents: The paths of text, JSON, table and YAML files, sorted.
        folders: The paths of all folders, also empty ones.
    """

    def __init__(self, root: Path) -> None:
        """Walk the folder; symbolic links to folders, and those that lead out of it, are left out.

        Raises:
            NotFoundError: The folder does not exist.
            StorageError: It cannot be read.
        """
        from geographer.rasters.images import IMAGE_SUFFIXES

        self.root = root
        self._left_out: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()
        rasters: list[str] = []
        self.documents: list[str] = []
        self.folders: list[str] = []
        for path in self._walk_files():
            suffix = PurePosixPath(path).suffix.lower()
            if suffix in IMAGE_SUFFIXES:
                rasters.append(path)
            elif suffix in DOCUMENT_SUFFIXES:
                self.documents.append(path)
            else:
                archive = "archives, which are not opened" if suffix in _ARCHIVE_SUFFIXES else "files of other types"
                self.leave_out(archive, path)
        self.documents.sort()
        self._rasters = frozenset(rasters)
        self.labels = sorted(path for path in rasters if is_label_path(path) or _has_bare_twin(path, self._rasters))
        self.images = sorted(self._rasters.difference(self.labels))
        if not self.images:
            self.images, self.labels = self.labels, []

    def leave_out(self, reason: str, path: str) -> None:
        """Remember that a file was not looked at, and why."""
        self._counts[reason] += 1
        if self._counts[reason] <= _EXAMPLES:
            self._left_out.setdefault(reason, []).append(show_path(path))

    def list_notes(self) -> list[str]:
        """Return a sentence for each reason why files were left out."""
        return [
            f"left out {self._counts[reason]:,} {reason} (such as {', '.join(examples)})"
            for reason, examples in sorted(self._left_out.items())
        ]

    def has_file(self, path: str) -> bool:
        """Return whether an image or a label has this path."""
        return path in self._rasters

    def resolve_entry(self, entry: str, base: str = "", subset: str | None = None) -> list[str]:
        """Return the images that an entry of a list means, sorted; none if it means no file of this folder.

        An entry is a path from the folder, from `base` (the folder of the list), or from a folder that is not known;
        a name with or without a suffix; the name of a folder with images; or the start of names. Of several files with
        one name, those in a folder that names the `subset` are preferred.
        """
        text = _clean_entry(entry)
        if text is None:
            return []
        for path in (_join_path(base, text), text):
            if path and path in self._rasters:
                return [path]
        name = text.rpartition("/")[2]
        matches = _keep_tail(self._by_bare_name.get(_strip_suffix(name), []), text)
        matches = matches or _keep_tail(self._by_bare_name.get(name, []), text)
        matches = matches or self._list_folder(text) or self._list_prefixed(text)
        if len(matches) > 1 and subset:
            preferred = [path for path in matches if subset in _list_folder_subsets(path)]
            matches = preferred or matches
        if len(matches) > 1 and base:
            matches = [path for path in matches if path.startswith(f"{base}/")] or matches
        exact = [path for path in matches if path.endswith(name)]
        return sorted(exact or matches)

    def find_document(self, path: Path) -> str | None:
        """Return the relative path of a file, if it lies in the folder."""
        try:
            return path.resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:
            return None

    @cached_property
    def _by_bare_name(self) -> dict[str, list[str]]:
        by_name: dict[str, list[str]] = {}
        for path in self.images:
            by_name.setdefault(_strip_suffix(path.rpartition("/")[2]), []).append(path)
        return by_name

    @cached_property
    def _by_folder(self) -> dict[str, list[str]]:
        by_folder: dict[str, list[str]] = {}
        for path in self.images:
            folder = path.rpartition("/")[0]
            if folder:
                by_folder.setdefault(folder.rpartition("/")[2], []).append(path)
        return by_folder

    @cached_property
    def _by_prefix(self) -> dict[str, list[str]]:
        by_prefix: dict[str, list[str]] = {}
        for path in self.images:
            stem = _strip_suffix(path.rpartition("/")[2])
            for match in re.finditer(r"[._-]", stem):
                by_prefix.setdefault(stem[: match.start()], []).append(path)
        return by_prefix

    def _list_folder(self, text: str) -> list[str]:
        paths = self._by_folder.get(text.rpartition("/")[2], [])
        return [path for path in paths if _matches_tail(path.rpartition("/")[0], text)]

    def _list_prefixed(self, text: str) -> list[str]:
        bare = _strip_suffix(text.rpartition("/")[2])
        return _keep_folder(self._by_prefix.get(bare, []), text) if len(bare) > 1 else []

    def _walk_files(self) -> Iterator[str]:
        if not self.root.is_dir():
            raise NotFoundError(f"the folder '{self.root}' does not exist. Check the path.")
        try:
            next(self.root.iterdir(), None)
        except OSError as error:
            raise StorageError(
                f"the folder '{self.root}' cannot be read ({error.strerror}). Check its rights."
            ) from error
        real_root = os.path.realpath(self.root)
        pending = [""]
        while pending:
            relative = pending.pop()
            try:
                with os.scandir(self.root / relative) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError:
                self.leave_out("folders that cannot be read", relative)
                continue
            for entry in listed:
                path = f"{relative}/{entry.name}" if relative else entry.name
                if entry.name.startswith(".") or entry.name in _SKIPPED_FOLDERS:
                    self.leave_out("hidden files and folders", path)
                elif entry.is_symlink() and not _is_inside_link(entry, real_root):
                    self.leave_out("symbolic links that lead out of the folder or to a folder", path)
                elif entry.is_dir(follow_symlinks=False):
                    pending.append(path)
                    self.folders.append(path)
                elif entry.is_file():
                    yield path
                else:
                    self.leave_out("special files and broken links", path)


def _has_bare_twin(path: str, paths: frozenset[str]) -> bool:
    """Return whether a file such as `a_m.png` lies beside `a.jpg`: then it is its mask."""
    stem, _, _ = path.rpartition(".")
    bare = stem.removesuffix("_m")
    return bare != stem and any(f"{bare}{suffix}" in paths for suffix in (".jpg", ".png", ".tif"))


def _is_inside_link(entry: os.DirEntry[str], real_root: str) -> bool:
    """Return whether a symbolic link leads to a file inside of the folder."""
    target = os.path.realpath(entry.path)
    return target.startswith(f"{real_root}{os.sep}") and Path(target).is_file()


def _clean_entry(entry: str) -> str | None:
    """Return an entry as a relative path with `/`; None if it cannot be one, or leads upwards."""
    text = entry.strip().strip("'\"").replace("\\", "/")
    while text.startswith("./"):
        text = text[2:]
    text = text.strip("/")
    if not text or "\0" in text or len(text) > 4096 or ".." in text.split("/"):
        return None
    return text


def _join_path(base: str, text: str) -> str:
    return f"{base}/{text}" if base else text


def _strip_suffix(name: str) -> str:
    """Return a name without the suffix of an image or a list entry; other dots stay."""
    from geographer.rasters.images import IMAGE_SUFFIXES

    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and f".{suffix.lower()}" in IMAGE_SUFFIXES else name


def _keep_tail(paths: Iterable[str], text: str) -> list[str]:
    return [path for path in paths if _matches_tail(_strip_suffix(path), _strip_suffix(text))]


def _keep_folder(paths: Iterable[str], text: str) -> list[str]:
    folder = text.rpartition("/")[0]
    return [path for path in paths if not folder or _matches_tail(path.rpartition("/")[0], folder)]


def _matches_tail(path: str, text: str) -> bool:
    """Return whether one is the end of the other, or both end alike and differ above in folders that name no subset."""
    ours, theirs = path.split("/"), text.split("/")
    common = 0
    while common < min(len(ours), len(theirs)) and ours[-1 - common] == theirs[-1 - common]:
        common += 1
    if common in (len(ours), len(theirs)):
        return common > 0
    rest = "/".join([*ours[: len(ours) - common], *theirs[: len(theirs) - common]])
    return common >= 2 and replace_subset(rest) == rest


def _list_folder_subsets(path: str) -> set[str]:
    from geographer.outputs.audit.names import find_folder_subset

    return {subset for part in path.split("/")[:-1] if (subset := find_folder_subset(part))}
