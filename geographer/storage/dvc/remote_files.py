"""The files of a remote: read, create exclusively, upload, download and delete them through DVC's file systems."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from geographer.base.atomic_files import temporary_sibling
from geographer.base.errors import UsageError

ReportError = Callable[[str, BaseException], None]
"""Called with the path, in the remote, of a file that could not be transferred, and the error."""
CountFile = Callable[[], None]
"""Called after each file that was transferred."""

_PROBE = "heads/.exclusive"
"""A file that tells whether the server creates files exclusively."""
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

    def create_file(self, path: str, content: bytes, is_current: Callable[[], bool]) -> bool | None:
        """Create a file with its content, atomically, unless it exists: return whether this call created it.

        None if the remote cannot; `claim_file` and `write_file` then do the same in two steps. A remote that excludes
        others by a lock calls `is_current` while it holds it, and does not create the file if that returns False.
        """
        self._require_exclusive_creation()
        return self._create_file_exclusively(path, content)

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

    def delete_files(self, paths: Iterable[str]) -> None:
        """Delete files; those that are not there are skipped."""
        for path in paths:
            with suppress(FileNotFoundError):
                self.filesystem.fs.rm_file(self.join_path(path))

    def _create_file_exclusively(self, path: str, content: bytes) -> bool:
        try:
            self.filesystem.pipe_file(self.join_path(path), content, mode="create")
        except FileExistsError:
            return False
        return True

    def _require_exclusive_creation(self) -> None:
        """Create a file with a fixed content twice: a server that ignores the condition creates it both times."""
        try:
            if not (self._create_file_exclusively(_PROBE, b"") and self._create_file_exclusively(_PROBE, b"")):
                return
        except (NotImplementedError, TypeError):
            pass
        raise UsageError(
            f"the server of this remote, of the type '{self.filesystem.protocol}', cannot create a file exclusively, "
            "so two pushes at once could overwrite each other. Push to a folder, SSH or WebDAV, or to an S3 server "
            "that honours 'If-None-Match: *'."
        )

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


class S3Files(RemoteFiles):
    """Files of an S3 server, which creates an object only if there is none (`If-None-Match: *`)."""

    def _create_file_exclusively(self, path: str, content: bytes) -> bool:
        for pause_s in (0.1, 0.2, 0.4, 0.8, 1.6, 0):
            try:
                return super()._create_file_exclusively(path, content)
            except OSError as error:
                status = _find_http_status(error)
                if status == HTTPStatus.PRECONDITION_FAILED:
                    return False
                # A conflict: another request for the same name has not ended yet.
                if status != HTTPStatus.CONFLICT or not pause_s:
                    raise
                time.sleep(pause_s)
        return False


def _find_http_status(error: OSError) -> int | None:
    """Return the status of the response for which s3fs raised an error."""
    response = getattr(error.__cause__, "response", None) or {}
    status: int | None = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


class FolderFiles(RemoteFiles):
    """Files in a folder of this machine or of a network file system."""

    can_claim = True

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

    def find_existing(self, paths: Iterable[str]) -> Iterator[str]:
        """Yield those of the paths that are files in the remote."""
        names = list(paths)
        existing = list(super().find_existing(names))
        if names and not existing:
            self.read_file(names[0])  # the check takes a server that cannot be reached for one without the file
        yield from existing

    def create_file(self, path: str, content: bytes, is_current: Callable[[], bool]) -> bool | None:
        """Refuse to write."""
        raise _make_read_only_error()

    def put_file(self, path: str, source: Path) -> None:
        """Refuse to write."""
        raise _make_read_only_error()

    def delete_files(self, paths: Iterable[str]) -> None:
        """Refuse to delete."""
        raise _make_read_only_error()


def _make_read_only_error() -> UsageError:
    return UsageError(
        "an HTTP remote can only be read. Push to its folder, SSH, S3 or WebDAV address: add that as a remote of DVC "
        "(dvc remote add NAME URL) and name it."
    )


def make_remote_files(filesystem: Any, folder: str) -> RemoteFiles:
    """Return the files of a remote for one of DVC's file systems."""
    if filesystem.protocol in ("webdav", "webdavs"):
        from geographer.storage.dvc.webdav_files import WebdavFiles

        return WebdavFiles(filesystem, folder)
    if filesystem.protocol == "ssh":
        from geographer.storage.dvc.ssh_files import SshFiles

        return SshFiles(filesystem, folder)
    classes: dict[str, type[RemoteFiles]] = {"local": FolderFiles, "http": HttpFiles, "https": HttpFiles, "s3": S3Files}
    return classes.get(filesystem.protocol, RemoteFiles)(filesystem, folder)
