"""An object store at an fsspec URL: files by MD5, in the layout of DVC's remotes, which clients and workers share."""

from __future__ import annotations

import errno
import hashlib
import pickle
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, Final

from geographer.base.errors import StorageError, UsageError
from geographer.base.redaction import redact_text

_FOLDER: Final = "files/md5"
_THREADS: Final = 8
_FULL_DISK: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ATOMIC_PROTOCOLS: Final = {"s3", "s3a", "gs", "gcs", "abfs", "az", "adl", "oss"}
"""Protocols whose servers show an object only when it is complete."""


class StoreError(StorageError):
    """The store failed, or has other bytes than it should; disks of the client and the workers may be fine."""


class ObjectStore:
    """Objects in `folder` of a file system of fsspec; it pickles with its credentials, which `repr` leaves out.

    Methods raise `StorageError`, which names the store, if it cannot be reached or fails.
    """

    def __init__(self, filesystem: Any, folder: str, url: str) -> None:
        """Use a folder of a file system; `url` is shown in messages, without credentials."""
        self._filesystem, self._folder, self.url = filesystem, folder.rstrip("/"), redact_text(url)

    def __repr__(self) -> str:
        return f"ObjectStore({self.url!r})"

    def __reduce__(self) -> tuple[Callable[[bytes], ObjectStore], tuple[bytes]]:
        """Pickle as bytes, by which a worker finds the store that it has opened: connecting is slower than a file."""
        return _restore_store, (self._pickled_state,)

    @cached_property
    def _pickled_state(self) -> bytes:
        return pickle.dumps((self._filesystem, self._folder, self.url))

    @classmethod
    def open_url(cls, url: str) -> ObjectStore:
        """Open a store by its URL, such as `s3://bucket/prefix`, with the settings of fsspec's configuration.

        `UsageError` if the URL is invalid, or the package for its protocol is not installed.
        """
        import fsspec

        if not re.fullmatch(r"(?!memory)[A-Za-z][\w+.-]*://.+", url):
            raise UsageError(f"invalid store {redact_text(url)!r}. Use a URL such as s3://bucket/prefix.")
        try:
            filesystem, folder = fsspec.core.url_to_fs(url, skip_instance_cache=True)
        except ImportError as error:
            raise UsageError(f"the store {redact_text(url)} needs a package: {error}") from error
        except (ValueError, TypeError, OSError) as error:
            raise UsageError(
                f"invalid store {redact_text(url)}: {error}. Use a URL such as s3://bucket/prefix."
            ) from error
        return cls(filesystem, folder, url)

    def has_object(self, md5: str) -> bool:
        """Return whether the store has an object."""
        with self._translate_errors():
            self._filesystem.invalidate_cache()
            return bool(self._filesystem.exists(self._join_path(md5)))

    def put_objects(self, files: Mapping[str, Path], *, require_digest: bool = False) -> None:
        """Upload files by MD5, several at once; each is complete or absent in the store, whenever this is killed.

        With `require_digest`, each is hashed first: `StorageError` if it is not the named one.
        """
        if require_digest:
            for md5, path in files.items():
                if compute_md5(path) != md5:
                    raise StorageError(f"'{path}' changed while it was read. Run the command again.")
        self._run_each(self._put_object, list(files.items()))

    def get_objects(self, files: Sequence[tuple[str, Path]]) -> None:
        """Download objects by MD5 to paths in existing folders, several at once, and compare their MD5s.

        `StorageError` if the store lacks one, or has other bytes, or this machine's disk is full.
        """
        try:
            self._run_each(self._get_object, files)
        except StoreError as error:
            if is_disk_full(error.__cause__):
                raise StorageError(f"the disk of '{files[0][1].parent}' is full. Free some space.") from error.__cause__
            raise

    @contextmanager
    def hold_probe(self) -> Iterator[str]:
        """Write a small object, yield its MD5, and delete it: so a store that cannot be written fails early."""
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder) / "probe"
            probe.write_bytes(secrets.token_bytes(32))
            md5 = compute_md5(probe)
            self.put_objects({md5: probe})
        try:
            yield md5
        finally:
            with self._translate_errors():
                self._filesystem.rm_file(self._join_path(md5))

    def close(self) -> None:
        """Close the connections of an S3 client, which otherwise warns at the end of the process."""
        if client := getattr(self._filesystem, "_s3", None):
            self._filesystem.close_session(self._filesystem.loop, client)

    def _put_object(self, item: tuple[str, Path]) -> None:
        md5, source = item
        target = self._join_path(md5)
        filesystem = self._filesystem
        if self._is_atomic:
            filesystem.put_file(str(source), target)
            return
        if filesystem.exists(target):
            return
        filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
        temporary = f"{target.rpartition('/')[0]}/.geographer-{secrets.token_hex(8)}"
        try:
            filesystem.put_file(str(source), temporary)
            filesystem.mv(temporary, target)
        except FileExistsError:
            pass
        finally:
            with suppress(FileNotFoundError, NotImplementedError):
                filesystem.rm_file(temporary)

    def _get_object(self, item: tuple[str, Path]) -> None:
        md5, target = item
        try:
            self._filesystem.get_file(self._join_path(md5), str(target))
        except FileNotFoundError as error:
            raise StoreError(f"the store {self.url} lacks an object, {md5}. Run the command again.") from error
        if compute_md5(target) != md5:
            raise StoreError(f"the store {self.url} has other bytes for the object {md5}. Delete that object.")

    def _run_each(self, work: Callable[[tuple[str, Path]], None], items: Sequence[tuple[str, Path]]) -> None:
        with self._translate_errors():
            if len(items) < 2:
                for item in items:
                    work(item)
                return
            with ThreadPoolExecutor(min(_THREADS, len(items))) as threads:
                futures = [threads.submit(work, item) for item in items]
                try:
                    for future in futures:
                        future.result()
                except BaseException:
                    threads.shutdown(wait=False, cancel_futures=True)
                    raise

    @cached_property
    def _is_atomic(self) -> bool:
        protocol = self._filesystem.protocol
        return not _ATOMIC_PROTOCOLS.isdisjoint((protocol,) if isinstance(protocol, str) else protocol)

    def _join_path(self, md5: str) -> str:
        return f"{self._folder}/{_FOLDER}/{md5[:2]}/{md5[2:]}"

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise an error of the file system, of whatever library, as a `StoreError`."""
        try:
            yield
        except (StorageError, UsageError):
            raise
        except Exception as error:
            reason = redact_text(str(error)) or type(error).__name__
            raise StoreError(
                f"the store {self.url} failed: {reason}. Check the connection and the settings of the store."
            ) from error


@lru_cache(maxsize=4)
def _restore_store(pickled: bytes) -> ObjectStore:
    return ObjectStore(*pickle.loads(pickled))


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error, or one of those that caused it, is that of a full disk; not of the store's."""
    while error is not None and not isinstance(error, StoreError):
        if isinstance(error, OSError) and error.errno in _FULL_DISK:
            return True
        error = error.__cause__ or error.__context__
    return False


def compute_md5(path: Path) -> str:
    """Return the MD5 of a file."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
