"""The files of a remote: read, create exclusively, upload, download and delete them through DVC's file systems."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from geographer.base.atomic_files import temporary_sibling
from geographer.base.errors import UsageError

ReportError = Callable[[str, BaseException], None]
"""Called with the path, in the remote, of a file that could not be transferred, and the error."""
CountFile = Callable[[], None]
"""Called after each file that was transferred."""

_UNSUPPORTED_LINK = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EMLINK, errno.EACCES}


class RemoteFiles:
    """Files in `folder` of `filesystem`, one of DVC's file systems; paths are relative to that folder, with `/`.

    This class serves every file system of fsspec that can create a file exclusively (`mode="create"`), such as S3.
    """

    can_claim = False
    """Whether `claim_file` works: an empty file is created exclusively, and its content is written later."""

    def __init__(self, filesystem: Any, folder: str) -> None:
        self.filesystem = filesystem
        self.folder = folder

    def close(self) -> None:
        """Close the connections."""

    def join_path(self, path: str) -> str:
        """Return a path of the file system for one relative to the remote's folder."""
        joined: str = self.filesystem.join(self.folder, *path.split("/"))
        return joined

    def read_file(self, path: str) -> bytes | None:
        """Return a file's bytes, or None if there is no such file."""
        try:
            content: bytes = self.filesystem.cat_file(self.join_path(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return content

    def create_file(self, path: str, content: bytes) -> bool | None:
        """Create a file with its content, atomically, unless it exists: return whether this call created it.

        None if the remote cannot; `claim_file` and `write_file` then do the same in two steps.
        """
        try:
            self.filesystem.pipe_file(self.join_path(path), content, mode="create")
        except FileExistsError:
            return False
        except (NotImplementedError, TypeError) as error:
            raise UsageError(
                f"DVC's remote of the type '{self.filesystem.protocol}' cannot create a file exclusively, which two "
                "pushes at once need. Push to a folder, SSH, S3 or WebDAV."
            ) from error
        return True

    def claim_file(self, path: str) -> bool:
        """Create an empty file unless it exists: return whether this call created it."""
        raise NotImplementedError

    def write_file(self, path: str, content: bytes) -> None:
        """Write the content of a file that this process has claimed."""
        raise NotImplementedError

    def put_files(self, files: Mapping[str, Path], count: CountFile, report_error: ReportError) -> None:
        """Upload files by their paths in the remote, several at once; each is complete or absent there."""
        self._run_each(files, self.put_file, count, report_error)

    def put_file(self, path: str, source: Path) -> None:
        """Upload one file; it is complete or absent in the remote."""
        self.filesystem.put_file(str(source), self.join_path(path))

    def get_files(self, files: Mapping[str, Path], count: CountFile, report_error: ReportError) -> None:
        """Download files by their paths in the remote, several at once."""
        self._run_each(files, self.get_file, count, report_error)

    def get_file(self, path: str, target: Path) -> None:
        """Download one file; `FileNotFoundError` if the remote lacks it."""
        self.filesystem.get_file(self.join_path(path), str(target))

    def find_existing(self, paths: Iterable[str]) -> Iterator[str]:
        """Yield those of the paths that are files in the remote."""
        names = list(paths)
        existing = self.filesystem.exists([self.join_path(name) for name in names])
        yield from (name for name, exists in zip(names, existing, strict=True) if exists)

    def list_files(self, path: str) -> Iterator[str]:
        """Yield the paths of all files below a folder, which need not exist."""
        start = self.join_path("").rstrip("/")
        with suppress(FileNotFoundError):
            for found in self.filesystem.find(self.join_path(path)):
                yield found[found.index(start) + len(start) :].lstrip("/")

    def delete_files(self, paths: Iterable[str]) -> None:
        """Delete files; those that are not there are skipped."""
        for path in paths:
            with suppress(FileNotFoundError):
                self.filesystem.fs.rm_file(self.join_path(path))

    def _run_each(
        self,
        files: Mapping[str, Path],
        transfer_file: Callable[[str, Path], None],
        count: CountFile,
        report_error: ReportError,
    ) -> None:
        def transfer_one(item: tuple[str, Path]) -> None:
            try:
                transfer_file(*item)
            except Exception as error:
                report_error(item[0], error)
            else:
                count()

        if len(files) < 2:
            for item in files.items():
                transfer_one(item)
            return
        with ThreadPoolExecutor(max_workers=min(len(files), self.filesystem.jobs)) as executor:
            for _ in executor.map(transfer_one, files.items()):
                pass


class FolderFiles(RemoteFiles):
    """Files in a folder of this machine or of a network file system."""

    can_claim = True

    def create_file(self, path: str, content: bytes) -> bool | None:
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
        from dvc_objects.fs.system import reflink

        source = self.join_path(path)
        try:
            reflink(source, str(target))  # type: ignore[no-untyped-call]
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(source, target)

    def find_existing(self, paths: Iterable[str]) -> Iterator[str]:
        """Yield those of the paths that are files."""
        yield from (path for path in paths if Path(self.join_path(path)).is_file())

    def list_files(self, path: str) -> Iterator[str]:
        """Yield the paths of all files below a folder."""
        for parent, _, names in os.walk(self.join_path(path)):
            for name in names:
                yield Path(parent, name).relative_to(self.folder).as_posix()

    def delete_files(self, paths: Iterable[str]) -> None:
        """Delete files; those that are not there are skipped."""
        for path in paths:
            Path(self.join_path(path)).unlink(missing_ok=True)


def _write_synced(path: Path, content: bytes, mode: str) -> None:
    with path.open(mode) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


class HttpFiles(RemoteFiles):
    """Files of a web server, which can only be read."""

    def create_file(self, path: str, content: bytes) -> bool | None:
        """Refuse to write."""
        raise _make_read_only_error()

    def put_file(self, path: str, source: Path) -> None:
        """Refuse to write."""
        raise _make_read_only_error()

    def delete_files(self, paths: Iterable[str]) -> None:
        """Refuse to delete."""
        raise _make_read_only_error()

    def list_files(self, path: str) -> Iterator[str]:
        """Refuse to list: HTTP has no listings."""
        raise UsageError("an HTTP remote cannot list its files. Use the remote's folder, SSH, S3 or WebDAV address.")


def _make_read_only_error() -> UsageError:
    return UsageError(
        "an HTTP remote can only be read. Push to its folder, SSH, S3 or WebDAV address: add that as a remote of DVC "
        "(dvc remote add NAME URL) and name it."
    )


def make_remote_files(filesystem: Any, folder: str) -> RemoteFiles:
    """Return the files of a remote for one of DVC's file systems."""
    classes: dict[str, type[RemoteFiles]] = {"local": FolderFiles, "http": HttpFiles, "https": HttpFiles}
    return classes.get(filesystem.protocol, RemoteFiles)(filesystem, folder)
