"""The folder of an export: each file is written once; an interrupted export goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from geographer.base.atomic_files import temporary_sibling, translate_os_errors, write_atomic
from geographer.base.errors import ConflictError, CorruptError
from geographer.outputs.manifest import MANIFEST, REVISION_FILE, compute_sha256, encode_manifest, read_manifest
from geographer.rasters.chip_address import ChipAddress, is_chip_address
from geographer.storage.workspace.chip_files import ChipFile
from geographer.storage.workspace.paths import SafeFolder, prepare_export_folder

JOURNAL: Final = ".geographer-export.jsonl"
"""The file that lists what an unfinished export has written: what it is, then a line for each file."""


_TEMPORARY: Final = ".geographer-"
"""What the names of files and folders begin with until they are complete."""


class HashedStream:
    """A file that is written from its start to its end; its SHA-256 is computed on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    @property
    def hex_digest(self) -> str:
        """The SHA-256 of what was written so far, in hex."""
        return self._digest.hexdigest()

    def write(self, content: bytes) -> None:
        """Write bytes."""
        self._digest.update(content)
        self._file.write(content)


class ExportFolder:
    """A folder that is filled with files, which must not depend on what is there.

    While files are written, a journal lists them. The same export, run again after an interruption, keeps those that
    are still as they were written. Files of an earlier export are replaced, and removed if this one has no such file.

    Attributes:
        path: The folder, without symbolic links.
        digests: The SHA-256 of each file that belongs to the export, by its path with `/`.
        written: The number of files that were written.
        unchanged: The number of files that were there already.
    """

    def __init__(self, root: Path, folder: Path, identity: Mapping[str, Any]) -> None:
        """Prepare the folder for the export that `identity` describes; `root` is the dataset's folder.

        Raises:
            ConflictError: the folder has other content.
            UsageError, StorageError: see `prepare_export_folder`.
        """
        self.path = prepare_export_folder(root, folder)
        self.digests: dict[str, str] = {}
        self.written = self.unchanged = 0
        self._folder = SafeFolder(self.path)
        self._made_folders: set[Path] = set()
        self._header = _encode_identity(identity)
        self._known = self._read_known_files(folder)
        with translate_os_errors(self.path):
            self._journal = (self.path / JOURNAL).open("a", encoding="utf-8")
            self._journal.write(f"{self._header}\n")
            self._journal.flush()

    def write_bytes(self, path: str, content: bytes) -> None:
        """Write a file with this content."""
        self._write_content(path, hashlib.sha256(content).hexdigest(), lambda: content)

    def write_content(self, path: str, make: Callable[[], bytes]) -> None:
        """Write a file with the content that `make` returns, which is called unless the file is there already."""

        def write(file: BinaryIO) -> None:
            file.write(make())

        self.write_file(path, write)

    def write_file(self, path: str, write: Callable[[BinaryIO], None]) -> None:
        """Let `write` fill a file, unless the same export wrote it before and it is as it was then."""

        def write_temporary(temporary: Path) -> None:
            with temporary.open("wb") as file:
                write(file)

        self.write_path(path, write_temporary)

    def keep_file(self, path: str) -> bool:
        """Return whether the same export wrote a file before, which is as it was then; it is kept."""
        known = self._known.get(path)
        if not known or not _has_sha256(self._locate_file(path), known):
            return False
        self._add_file(path, known, is_new=False)
        return True

    def write_path(self, path: str, write: Callable[[Path], None]) -> None:
        """Let `write` make a file at the path that it is given, as `write_file` does, for libraries that take a path.

        That path has the suffix of the file.
        """
        target = self._locate_file(path)
        if self.keep_file(path):
            return
        with translate_os_errors(target), temporary_sibling(target, target.suffix) as temporary:
            write(temporary)
            sha256 = compute_sha256(temporary)
            temporary.replace(target)
        self._add_file(path, sha256)

    @contextmanager
    def open_stream(self, path: str) -> Iterator[HashedStream]:
        """Open a file that is written from its start to its end while other files are; it is not resumed."""
        target = self._locate_file(path)
        with translate_os_errors(target), temporary_sibling(target) as temporary:
            with temporary.open("wb") as file:
                stream = HashedStream(file)
                yield stream
            is_new = not _has_sha256(target, stream.hex_digest)
            if is_new:
                temporary.replace(target)
        self._add_file(path, stream.hex_digest, is_new=is_new)

    def copy_file(self, path: str, source: ChipFile) -> None:
        """Copy a file of the dataset; `CorruptError` if it has other bytes than those recorded."""
        if is_chip_address(source.path):
            self.write_bytes(path, read_chip_file(source))
        elif source.with_sidecars:
            self.write_bytes(path, source.path.read_bytes())
        else:
            self._write_content(path, source.content, lambda: read_chip_file(source))

    def _write_content(self, path: str, sha256: str, read: Callable[[], bytes]) -> None:
        """Write a file whose SHA-256 is known, unless an unfinished run of the same export did."""
        target = self._locate_file(path)
        if self._known.get(path) == sha256 and _has_sha256(target, sha256):
            self._add_file(path, sha256, is_new=False)
            return
        with translate_os_errors(target):
            self._replace_file(target, read())
        self._add_file(path, sha256)

    def _replace_file(self, target: Path, content: bytes) -> None:
        """Write a file under another name, and rename it."""
        if target.parent not in self._made_folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._made_folders.add(target.parent)
        temporary = target.with_name(f"{_TEMPORARY}{len(self.digests)}")
        try:
            with temporary.open("wb", buffering=0) as file:
                file.write(content)
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise

    def write_folder(self, name: str, write: Callable[[Path], None]) -> None:
        """Let `write` fill a new folder, for libraries that write many files; it takes the place of the folder `name`.

        It is not resumed: all of it is written again.
        """
        target = self._locate_file(name)
        staging = self.path / f"{_TEMPORARY}{name.replace('/', '-')}"
        with translate_os_errors(target):
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            try:
                write(staging)
                for file in sorted(path for path in staging.rglob("*") if path.is_file()):
                    self._move_file(file, f"{name}/{file.relative_to(staging).as_posix()}")
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def finish_export(self) -> str:
        """Remove files of an earlier export, write the manifest, and return its SHA-256."""
        for path in sorted(self._known.keys() - self.digests.keys()):
            self._remove_file(path)
        write_atomic(self.path / MANIFEST, encode_manifest(self.digests))
        self._journal.close()
        with translate_os_errors(self.path):
            (self.path / JOURNAL).unlink(missing_ok=True)
        return compute_sha256(self.path / MANIFEST)

    def close(self) -> None:
        """Close the journal, which stays for the next run unless there is nothing to go on with."""
        self._journal.close()
        if not self.digests and not self._known:
            with suppress(OSError):
                (self.path / JOURNAL).unlink()
                self.path.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _move_file(self, file: Path, path: str) -> None:
        target, sha256 = self._locate_file(path), compute_sha256(file)
        is_new = not _has_sha256(target, sha256)
        if is_new:
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
        self._add_file(path, sha256, is_new=is_new)

    def _locate_file(self, path: str) -> Path:
        if path in self.digests:
            raise ConflictError(f"two files of the export have the path '{path}'. Rename one of the rasters.")
        if not _is_inside(path):
            raise ConflictError(f"the export cannot have a file '{path}'. Rename the raster.")
        self._folder.require_folder(path.rpartition("/")[0])
        return self.path / path

    def _add_file(self, path: str, sha256: str, *, is_new: bool = True) -> None:
        self.digests[path] = sha256
        self.written += is_new
        self.unchanged += not is_new
        if self._known.get(path) != sha256:
            self._journal.write(json.dumps([path, sha256], ensure_ascii=False) + "\n")
            self._journal.flush()

    def _remove_file(self, path: str) -> None:
        if not _is_inside(path):
            return
        self._folder.require_folder(path.rpartition("/")[0])
        target = self.path / path
        with translate_os_errors(target):
            target.unlink(missing_ok=True)
            for parent in target.relative_to(self.path).parents:
                if parent.parts and (self.path / parent).is_dir() and not any((self.path / parent).iterdir()):
                    (self.path / parent).rmdir()

    def _read_known_files(self, folder: Path) -> dict[str, str]:
        """Return the files of the earlier export, with the SHA-256 of those that this export may keep, else ''."""
        with translate_os_errors(self.path):
            names = {path.name for path in self.path.iterdir() if not path.name.startswith(_TEMPORARY)}
            journal = self._read_journal()
            if journal:
                self._remove_temporary_files()
            has_manifest = (self.path / MANIFEST).is_file()
            earlier = read_manifest(self.path) if has_manifest else None
        if names and not journal and (earlier is None or earlier.invalid_lines):
            raise ConflictError(f"'{folder}' is not empty, and not an earlier export. Choose another folder for --to.")
        known = earlier.digests if earlier else {}
        if not self._has_same_identity(known.get(REVISION_FILE)):
            known = dict.fromkeys(known, "")
        for header, files in journal:
            known |= files if header == self._header else dict.fromkeys(files, "")
        return known

    def _has_same_identity(self, sha256: str | None) -> bool:
        """Return whether the finished export that is there has the identity of this one, by its revision file."""
        path = self.path / REVISION_FILE
        if sha256 is None or not _has_sha256(path, sha256):
            return False
        try:
            facts = json.loads(path.read_bytes())
            identity = {"digest": facts["digest"], "software": facts["software"]} | facts["export"]
        except (ValueError, KeyError, TypeError):
            return False
        return _encode_identity(identity) == self._header

    def _remove_temporary_files(self) -> None:
        """Remove what a killed run of an export was writing."""
        for folder, folders, files in os.walk(self.path):
            for name in [name for name in folders if name.startswith(_TEMPORARY)]:
                shutil.rmtree(Path(folder, name))
                folders.remove(name)
            for name in files:
                if name.startswith(_TEMPORARY) and name != JOURNAL:
                    Path(folder, name).unlink()

    def _read_journal(self) -> list[tuple[str, dict[str, str]]]:
        """Return the files that each run listed, after what it exported; a line that a crash cut off is left out."""
        runs: list[tuple[str, dict[str, str]]] = []
        if not (self.path / JOURNAL).is_file():
            return runs
        for line in (self.path / JOURNAL).read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                runs.append((line, {}))
            elif runs and isinstance(entry, list) and len(entry) == 2:
                runs[-1][1][str(entry[0])] = str(entry[1])
        return runs


def _encode_identity(identity: Mapping[str, Any]) -> str:
    return json.dumps(identity, sort_keys=True, ensure_ascii=False)


def _is_inside(path: str) -> bool:
    """Return whether a path can name a file in the folder."""
    return {"", ".", ".."}.isdisjoint(path.split("/")) and "\0" not in path


def _has_sha256(path: Path, sha256: str) -> bool:
    return path.is_file() and not path.is_symlink() and compute_sha256(path) == sha256


def read_chip_file(file: ChipFile) -> bytes:
    """Read a file of the dataset; `CorruptError` if it has other bytes than those recorded.

    Of a virtual chip, the bytes are those of the file that a cut would write.
    """
    if address := ChipAddress.from_path(file.path):
        from geographer.rasters.virtual_chips import encode_virtual_chip

        return encode_virtual_chip(address)
    content = file.path.read_bytes()
    if not file.with_sidecars and hashlib.sha256(content).hexdigest() != file.content:
        raise CorruptError(f"'{file.path}' changed while it was read. Run geographer verify.")
    return content
