"""The files of a remote over WebDAV: a head is written while the folder of its branch is locked.

`PUT` with `If-None-Match: *` is not enough: servers check whether the file exists, and write it afterwards, so two
clients can both succeed. An exclusive lock of the branch's folder (LOCK, depth 0) keeps others from creating files
there. The server ends the lock of a killed client after a while, and then rejects what that client may still send.
"""

from __future__ import annotations

import posixpath
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from geographer.base.errors import UsageError
from geographer.base.polling import acquire_with_timeout
from geographer.storage.dvc.remote_files import FileServerFiles

LOCK_SECONDS: Final = 30
"""After how many seconds the server ends a lock by itself."""
LOCK_TIMEOUT_S: Final = 90.0
"""How long to wait for another push to release its lock, in seconds."""
_LOCK_BODY: Final = (
    b'<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype><D:owner>geographer</D:owner></D:lockinfo>"
)
_NOT_FOUND, _NOT_ALLOWED, _CONFLICT, _PRECONDITION_FAILED, _LOCKED, _NOT_IMPLEMENTED = 404, 405, 409, 412, 423, 501
_ERRORS: Final = range(400, 600)


class WebdavFiles(FileServerFiles):
    """Files of a WebDAV server, through webdav4's HTTP client; a request for each step and no more."""

    def __init__(self, object_db: Any, folder: str) -> None:
        super().__init__(object_db, folder)
        self._known_folders: set[str] = set()
        self._folder_lock = threading.RLock()

    def close(self) -> None:
        """Close the connections."""
        if webdav := self.filesystem.__dict__.get("fs"):
            webdav.client.http.close()

    def read_file(self, path: str) -> bytes | None:
        """Return a file's bytes, or None if there is no such file."""
        response = self._send_request("GET", path, accepted=(_NOT_FOUND,))
        if response.status_code == _NOT_FOUND:
            return None
        self._known_folders.add(posixpath.dirname(path))
        return bytes(response.content)

    def has_file(self, path: str) -> bool:
        """Return whether the server has a file."""
        return bool(self._send_request("HEAD", path, accepted=(_NOT_FOUND,)).status_code != _NOT_FOUND)

    def create_file(self, path: str, content: bytes, is_current: Callable[[], bool]) -> bool | None:
        """Create a file while its folder is locked."""
        with self._lock_folder(posixpath.dirname(path)) as condition:
            if self.read_file(path) is not None or not is_current():
                return False
            headers = {"If": condition, "If-None-Match": "*"}
            response = self._send_request(
                "PUT", path, accepted=(_PRECONDITION_FAILED,), headers=headers, content=content
            )
            return bool(response.status_code != _PRECONDITION_FAILED)

    def put_file(self, path: str, source: Path) -> None:
        """Upload to a temporary file beside the folder of the target, and move it."""
        folder = posixpath.dirname(path)
        temporary = posixpath.join(posixpath.dirname(folder), f".geographer-{secrets.token_hex(8)}")
        headers = {"Destination": self._make_url(path), "Overwrite": "T"}
        with source.open("rb") as file:
            sizes = {"Content-Length": str(source.stat().st_size)}
            self._retry_with_folder("PUT", temporary, posixpath.dirname(temporary), content=file, headers=sizes)
        self._retry_with_folder("MOVE", temporary, folder, headers=headers)

    def get_file(self, path: str, target: Path) -> None:
        """Download one file."""
        with self._http_client.stream("GET", self._make_url(path)) as response:
            if response.status_code == _NOT_FOUND:
                raise FileNotFoundError(path)
            response.raise_for_status()
            with target.open("wb") as file:
                for block in response.iter_bytes():
                    file.write(block)

    def delete_files(self, paths: Iterable[str]) -> None:
        """Delete files; those that are not there are skipped."""
        for path in paths:
            self._send_request("DELETE", path, accepted=(_NOT_FOUND,))

    @property
    def _http_client(self) -> Any:
        user, password = self.filesystem.fs_args.get("auth") or ("", "")
        if user and password is None:
            raise UsageError(
                f"DVC has no password for '{self.filesystem.config['host']}'. Set it: dvc remote modify --local NAME "
                "password …, or make DVC ask for it: dvc remote modify NAME ask_password true"
            )
        return self.filesystem.fs.client.http

    def _make_url(self, path: str) -> str:
        return str(self.filesystem.fs.client.join_url(self.join_path(path)))

    def _send_request(self, method: str, path: str, *, accepted: Collection[int] = (), **arguments: Any) -> Any:
        """Send a request; raise the HTTP client's error unless it succeeds or its status is in `accepted`."""
        response = self._http_client.request(method, self._make_url(path), **arguments)
        if response.status_code not in accepted:
            response.raise_for_status()
        return response

    def _retry_with_folder(self, method: str, path: str, folder: str, **arguments: Any) -> None:
        """Send a request; if the server says that the folder is missing, create it and send it again."""
        if self._send_request(method, path, accepted=(_CONFLICT, _NOT_FOUND), **arguments).is_success:
            return
        self._create_folder(folder)
        if source := arguments.get("content"):
            source.seek(0)
        self._send_request(method, path, **arguments)

    def _create_folder(self, folder: str) -> None:
        with self._folder_lock:
            if folder in self._known_folders:
                return
            response = self._send_request("MKCOL", f"{folder}/", accepted=_ERRORS)
            if response.status_code in (_CONFLICT, _NOT_FOUND):
                self._create_folder(posixpath.dirname(folder))
                response = self._send_request("MKCOL", f"{folder}/", accepted=_ERRORS)
            # Some servers answer 500 if two clients create a folder at once.
            if (
                response.is_error
                and response.status_code != _NOT_ALLOWED
                and not self.filesystem.exists(self.join_path(folder))
            ):
                response.raise_for_status()
            self._known_folders.add(folder)

    @contextmanager
    def _lock_folder(self, folder: str) -> Iterator[str]:
        """Lock a folder, which is created if missing; yield the condition for requests that change it."""
        token = ""
        self._create_folder(folder)  # LOCK would create a file of that name

        def acquire_lock() -> None:
            nonlocal token
            token = self._request_lock(folder)

        acquire_with_timeout(
            acquire_lock,
            lambda error: isinstance(error, _LockedError),
            LOCK_TIMEOUT_S,
            f"another push has held the lock of '{folder}' for {LOCK_TIMEOUT_S:.0f} s. Push again later.",
        )
        try:
            yield f"<{self._make_url(folder)}/> ({token})"
        finally:
            self._http_client.request("UNLOCK", self._make_url(f"{folder}/"), headers={"Lock-Token": token})

    def _request_lock(self, folder: str) -> str:
        headers = {"Depth": "0", "Timeout": f"Second-{LOCK_SECONDS}", "Content-Type": "application/xml"}
        accepted = (_LOCKED, _NOT_ALLOWED, _NOT_IMPLEMENTED)
        response = self._send_request("LOCK", f"{folder}/", accepted=accepted, headers=headers, content=_LOCK_BODY)
        if response.status_code == _LOCKED:
            raise _LockedError
        if not (response.is_success and "Lock-Token" in response.headers):
            raise UsageError(
                "this WebDAV server has no locks (LOCK), so two pushes at once could overwrite each other. Switch them "
                "on (Apache: DavLockDB), or push to a folder, SSH or S3."
            )
        return str(response.headers["Lock-Token"])


class _LockedError(Exception):
    """Another client holds the lock."""
