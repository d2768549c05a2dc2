"""The files of a remote: read, create exclusively, upload, download and delete them through DVC's file systems."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar

from geographer.base.errors import UsageError
from geographer.storage.dvc.retained import require_object_name

Item = TypeVar("Item")
Result = TypeVar("Result")

ReportError = Callable[[Exception], None]
"""Called with the error of each file that could not be transferred."""
CountFile = Callable[[], None]
"""Called after each file that was transferred."""

OBJECTS_FOLDER: Final = "files/md5"
"""The folder of DVC's objects in a remote."""
MAX_CHECKS: Final = 256
"""Up to how many objects are looked for one by one; for more, the remote's objects are listed where that is cheaper."""
_PROBE: Final = "heads/.exclusive"
"""A file that tells whether the server creates files exclusively."""


class BackendFiles:
    """Files in `folder` of the file system of DVC's `object_db`; paths are relative to that folder, with `/`.

    This class serves every file system of fsspec that can create a file exclusively (`mode="create"`), such as S3.
    """

    can_claim = False
    """Whether `claim_file` works: an empty file is created exclusively, and its content is written later."""

    def __init__(self, object_db: Any, folder: str) -> None:
        self.object_db = object_db
        self.filesystem = object_db.fs
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

    def find_objects(self, md5s: Collection[str]) -> set[str]:
        """Return those of the objects that the remote has."""
        if len(md5s) > MAX_CHECKS:
            return set(self.object_db.oids_exist(list(md5s)))
        names = list(md5s)
        existing = self.filesystem.exists([self.join_path(make_object_path(md5)) for md5 in names])
        return {md5 for md5, exists in zip(names, existing, strict=True) if exists}

    def list_objects(self) -> set[str]:
        """Return the MD5s of all objects, and maybe names of other files."""
        return set(self.object_db.all())

    def list_names(self, path: str) -> list[str] | None:
        """Return the names in a folder, which need not exist; None if the remote cannot list."""
        try:
            paths = self.filesystem.fs.ls(self.join_path(path), detail=False, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [name.rstrip("/").rpartition("/")[2] for name in paths]

    def put_files(self, files: Mapping[str, Path], count: CountFile, report_error: ReportError) -> None:
        """Upload files by their paths in the remote, several at once, until one fails; none is incomplete there."""
        self._run_each(files, self.put_file, count, report_error)

    def put_file(self, path: str, source: Path) -> None:
        """Upload one file; it is complete or absent in the remote."""
        self.filesystem.put_file(str(source), self.join_path(path))

    def get_files(self, files: Mapping[str, Path], count: CountFile, report_error: ReportError) -> None:
        """Download files by their paths in the remote, several at once, until one fails that the remote has."""
        self._run_each(files, self.get_file, count, report_error)

    def get_file(self, path: str, target: Path) -> None:
        """Download one file; `FileNotFoundError` if the remote lacks it."""
        self.filesystem.get_file(self.join_path(path), str(target))

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
        has_failed = threading.Event()

        def transfer_one(item: tuple[str, Path]) -> None:
            if has_failed.is_set():
                return
            try:
                transfer_file(*item)
            except Exception as error:
                report_error(error)
                if not isinstance(error, FileNotFoundError):
                    has_failed.set()
                return
            count()

        self.run_parallel(transfer_one, files.items())

    def run_parallel(self, work: Callable[[Item], Result], items: Collection[Item]) -> list[Result]:
        """Call a function for each item, in several threads if there are several items; return the results in order."""
        if len(items) < 2:
            return list(map(work, items))
        # Connect before the threads start: DVC's property would connect once in each of them.
        _ = self.filesystem.fs
        with ThreadPoolExecutor(max_workers=min(len(items), self.filesystem.jobs)) as executor:
            return list(executor.map(work, items))


class FileServerFiles(BackendFiles, ABC):
    """Files of a server with folders, each of which is listed by a request."""

    def find_objects(self, md5s: Collection[str]) -> set[str]:
        """Return those of the objects that the remote has."""
        if len(md5s) > MAX_CHECKS:
            return self.list_objects().intersection(md5s)
        names = list(md5s)
        existing = self.run_parallel(self.has_file, [make_object_path(md5) for md5 in names])
        return {md5 for md5, exists in zip(names, existing, strict=True) if exists}

    def list_objects(self) -> set[str]:
        """Return the MD5s of all objects, and maybe names of other files."""
        prefixes = [name for name in self.list_names(OBJECTS_FOLDER) if len(name) == 2]
        names = self.run_parallel(self.list_names, [f"{OBJECTS_FOLDER}/{prefix}" for prefix in prefixes])
        return {prefix + name for prefix, group in zip(prefixes, names, strict=True) for name in group}

    @abstractmethod
    def has_file(self, path: str) -> bool:
        """Return whether the remote has a file."""

    def list_names(self, path: str) -> list[str]:
        """Return the names in a folder, which need not exist."""
        try:
            paths = self.filesystem.ls(self.join_path(path), detail=False)
        except FileNotFoundError:
            return []
        return [name.rstrip("/").rpartition("/")[2] for name in paths]


class S3Files(BackendFiles):
    """Files of an S3 server, which creates an object only if there is none (`If-None-Match: *`)."""

    def close(self) -> None:
        """Close the connections."""
        if (s3 := self.filesystem.__dict__.get("fs")) and s3._s3:
            s3.close_session(s3.loop, s3._s3)

    def read_file(self, path: str) -> bytes | None:
        """Return a file's bytes, or None if there is no such file; in one request, without asking for its size."""
        try:
            content: bytes = self.filesystem.fs.cat_file(self.join_path(path), max_concurrency=1)
        except FileNotFoundError:
            return None
        return content

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


class HttpFiles(BackendFiles):
    """Files of a web server, which can only be read."""

    def close(self) -> None:
        """Close the connections."""
        if (http := self.filesystem.__dict__.get("fs")) and http._session:
            http.close_session(http.loop, http._session)

    def find_objects(self, md5s: Collection[str]) -> set[str]:
        """Return those of the objects that the remote has."""
        existing = super().find_objects(md5s)
        if md5s and not existing:
            # The check takes a server that cannot be reached for one without the file; reading does not.
            self.read_file(make_object_path(next(iter(md5s))))
        return existing

    def list_objects(self) -> set[str]:
        """Refuse to list: HTTP has no listings."""
        raise UsageError("an HTTP remote cannot list its files. Use its folder, SSH, S3 or WebDAV address as a remote.")

    def list_names(self, path: str) -> list[str] | None:
        """Return None: HTTP has no listings."""
        return None

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


def make_object_path(md5: str) -> str:
    """Return the path of an object in a remote; `CorruptError` if it is not an MD5, which may come from strangers."""
    require_object_name(md5)
    return f"{OBJECTS_FOLDER}/{md5[:2]}/{md5[2:]}"
