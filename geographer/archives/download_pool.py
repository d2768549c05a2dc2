"""Download many products in parallel into a cache folder, verified, until the dataset has imported them.

Each product has a folder with `manifest.json` and its files under `files/`. It is downloaded into `<name>.part` and
renamed when complete, so a folder without that suffix is always complete, even after a crash.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import queue
import re
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import rfc8785

from geographer.archives.base import FileInfo, Product, Source, describe_plugin_failure
from geographer.base.errors import ConflictError, CorruptError, GeographerError, OrderRequiredError, SourceError
from geographer.base.file_lock import try_lock
from geographer.base.progress import ProgressCallback, ignore_progress
from geographer.base.retry import RetryPolicy

logger = logging.getLogger(__name__)

_MANIFEST: Final = "manifest.json"
_FILES: Final = "files"
_PARTIAL_SUFFIX: Final = ".part"
_LOCK: Final = ".lock"
_MANIFEST_VERSION: Final = 1
_BLOCK_SIZE: Final = 1 << 20
_PROGRESS_INTERVAL_S: Final = 0.1

_SHUTDOWN_TIMEOUT_S: Final = 2.0
"""How long to wait for threads to stop. A thread that blocks on a dead connection is abandoned, which is harmless."""

_UNSAFE: Final = re.compile(r"[^\w.-]+")
_run_numbers: Final = count()


class DownloadedFile(NamedTuple):
    """A downloaded file: `size` in bytes and SHA-256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FetchedProduct:
    """A complete and verified product in the cache folder.

    Attributes:
        product: The product.
        folder: Folder with its files, as delivered.
        files: The files, by path in the folder ('/' between parts), sorted.
        total_bytes: Bytes of all files.
        digest: SHA-256 in hex: of the file if there is one; otherwise of the listing in canonical JSON (RFC 8785), an
            array of `[path, size, sha256]` sorted by path.
        from_cache: An earlier run downloaded it.
    """

    product: Product
    folder: Path
    files: Mapping[str, DownloadedFile]
    total_bytes: int
    digest: str
    from_cache: bool = False


class FailedDownload(NamedTuple):
    """A product that failed, and why, for the user; if it `needs_order`, a later run can download it."""

    product: Product
    reason: str
    needs_order: bool = False


def fetch_products(
    source: Source,
    products: Iterable[Product],
    folder: Path,
    *,
    workers: int = 4,
    on_progress: ProgressCallback | None = None,
    retry_policy: RetryPolicy | None = None,
) -> Generator[FetchedProduct | FailedDownload, None, None]:
    """Download products and yield each as it finishes, in no particular order.

    Products that an earlier run completed are verified (sizes and SHA-256) and not downloaded again. To stop early,
    close the generator, as `contextlib.closing` does.

    Args:
        source: The archive.
        products: Search results; duplicates are downloaded once.
        folder: Cache folder, created if missing; keeps products until `delete_downloads`.
        workers: Concurrent downloads, limited by `Source.max_concurrent`.
        on_progress: Called regularly and after each product, in the thread that iterates.
        retry_policy: Policy for retryable errors.

    Raises:
        ConflictError: another process downloads into the folder.
        OSError: the folder cannot be created.
    """
    by_name = {_make_folder_name(product): product for product in products}
    folder.mkdir(parents=True, exist_ok=True)
    with try_lock(folder / _LOCK) as is_locked:
        if not is_locked:
            raise ConflictError(f"another process downloads into '{folder}'. Wait for it, or stop it.")
        _delete_folders(folder.glob(f"*{_PARTIAL_SUFFIX}"))
        pool = _DownloadPool(source, by_name, folder, retry_policy or RetryPolicy())
        try:
            max_concurrent = vars(source).get("at_once", source.max_concurrent)  # its name in version 0.1.0
            yield from pool.iter_outcomes(max(1, min(workers, max_concurrent)), on_progress or ignore_progress)
        finally:
            pool.stop_threads()


def delete_downloads(folder: Path, products: Iterable[Product]) -> None:
    """Delete products from the cache folder; missing ones are ignored."""
    for product in products:
        product_folder = folder / _make_folder_name(product)
        if product_folder.is_dir():
            _delete_product(product_folder)


class _StoppedError(BaseException):
    """Ends a thread at its next byte. A `BaseException`, so that libraries do not catch it."""


class _DownloadPool:
    """Download threads, a queue of products for them, and a queue of their outcomes."""

    def __init__(self, source: Source, by_name: Mapping[str, Product], folder: Path, retry_policy: RetryPolicy) -> None:
        self._source, self._by_name, self._folder, self._retry_policy = source, by_name, folder, retry_policy
        self._pending: queue.SimpleQueue[tuple[str, Product]] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[FetchedProduct | FailedDownload | BaseException] = queue.SimpleQueue()
        self._bytes_by_name: dict[str, int] = {}
        self._stop_requested = threading.Event()
        self._earliest_attempt = 0.0
        self._threads: list[threading.Thread] = []
        self._run_id = f"{os.getpid()}-{next(_run_numbers)}"

    def iter_outcomes(self, workers: int, on_progress: ProgressCallback) -> Iterator[FetchedProduct | FailedDownload]:
        """Start `workers` threads and yield each product's outcome."""
        total = len(self._by_name)
        for item in self._by_name.items():
            self._pending.put(item)
        for number in range(min(workers, total)):
            thread = threading.Thread(target=self._run_worker, name=f"geographer-fetch-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()
        for n_done in range(total):
            while (outcome := self._wait_for_outcome()) is None:
                self._report_progress(on_progress, n_done, total)
            self._report_progress(on_progress, n_done + 1, total)
            yield outcome

    def stop_threads(self) -> None:
        """Ask the threads to stop, wait for them briefly, and delete partial downloads."""
        self._stop_requested.set()
        deadline = time.monotonic() + _SHUTDOWN_TIMEOUT_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        _delete_folders(self._folder.glob(f"*.{self._run_id}{_PARTIAL_SUFFIX}"))

    def _wait_for_outcome(self) -> FetchedProduct | FailedDownload | None:
        """Return the next outcome, or None after `_PROGRESS_INTERVAL_S`; raise what a thread raised."""
        try:
            outcome = self._outcomes.get(timeout=_PROGRESS_INTERVAL_S)
        except queue.Empty:
            return None
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _run_worker(self) -> None:
        while not self._stop_requested.is_set():
            try:
                name, product = self._pending.get_nowait()
            except queue.Empty:
                return
            try:
                self._outcomes.put(self._make_outcome(name, product))
            except _StoppedError:
                return
            except BaseException as error:
                self._outcomes.put(error)
                return

    def _make_outcome(self, name: str, product: Product) -> FetchedProduct | FailedDownload:
        """Return the product from the cache or the archive, or why it failed."""
        try:
            return self._load_cached(name, product) or self._retry_policy.call_with_retry(
                lambda: self._attempt_download(name, product), self._stop_requested
            )
        except GeographerError as error:
            return FailedDownload(product, str(error), isinstance(error, OrderRequiredError))
        except OSError as error:
            detail = error.strerror or type(error).__name__
            reason = f"cannot be written to '{self._folder}' ({detail}). Check the disk."
            return FailedDownload(product, f"product '{product.product_id}' {reason}")
        except Exception as error:
            # A custom source may raise anything; the other products continue.
            logger.debug("a source failed", exc_info=True)
            failure = describe_plugin_failure(self._source, error)
            return FailedDownload(product, f"product '{product.product_id}': {failure}")

    def _load_cached(self, name: str, product: Product) -> FetchedProduct | None:
        """Return the product that an earlier run completed; otherwise None, with its folder deleted."""
        product_folder = self._folder / name
        if not product_folder.is_dir():
            return None
        try:
            files = _verify_files(product_folder / _FILES, product, self._raise_if_stopped)
            is_intact = _read_manifest(product_folder).get("files") == _files_to_json(files)
        except (CorruptError, OSError, ValueError):
            is_intact = False
        if not is_intact:
            _delete_product(product_folder)
            return None
        fetched = _make_fetched(product, product_folder, files, from_cache=True)
        self._bytes_by_name[name] = fetched.total_bytes
        return fetched

    def _attempt_download(self, name: str, product: Product) -> FetchedProduct:
        """Make one attempt. After a `Retry-After`, all threads wait before their next attempt."""
        delay = self._earliest_attempt - time.monotonic()
        if delay > 0:
            self._retry_policy.sleep(delay, self._stop_requested)
        self._raise_if_stopped()
        try:
            return self._download_product(name, product)
        except SourceError as error:
            if error.retry_after is not None and error.retry_after <= self._retry_policy.max_retry_after:
                self._earliest_attempt = max(self._earliest_attempt, time.monotonic() + error.retry_after)
            raise

    def _download_product(self, name: str, product: Product) -> FetchedProduct:
        partial = self._folder / f"{name}.{self._run_id}{_PARTIAL_SUFFIX}"
        shutil.rmtree(partial, ignore_errors=True)
        files_folder = partial / _FILES
        try:
            files_folder.mkdir(parents=True)
            self._bytes_by_name[name] = 0
            self._source.fetch(product, files_folder, lambda n_bytes: self._count_bytes(name, n_bytes))
            try:
                files = _verify_files(files_folder, product, self._raise_if_stopped)
            except CorruptError as error:
                raise SourceError(str(error), retryable=True) from None
            fetched = _make_fetched(product, self._folder / name, files)
            _write_manifest(partial, fetched)
            partial.rename(self._folder / name)
            _sync_folder(self._folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            self._bytes_by_name[name] = 0
            raise
        self._bytes_by_name[name] = fetched.total_bytes
        return fetched

    def _report_progress(self, on_progress: ProgressCallback, n_done: int, total: int) -> None:
        on_progress(f"products, {sum(self._bytes_by_name.values()) / 1e6:,.1f} MB", n_done, total)

    def _count_bytes(self, name: str, n_bytes: int) -> None:
        self._raise_if_stopped()
        self._bytes_by_name[name] = n_bytes

    def _raise_if_stopped(self) -> None:
        if self._stop_requested.is_set():
            raise _StoppedError


def _make_folder_name(product: Product) -> str:
    """Return the name of a product's folder. It depends on the file names: another choice of assets is another one."""
    key = [product.provider, product.collection, product.product_id, sorted(product.files)]
    digest = hashlib.sha256(rfc8785.dumps(key)).hexdigest()[:16]
    return f"{_UNSAFE.sub('_', product.product_id).strip('.')[:60]}-{digest}"


def _verify_files(folder: Path, product: Product, raise_if_stopped: Callable[[], None]) -> dict[str, DownloadedFile]:
    """Hash the files in `folder` and return them by path.

    Raises:
        CorruptError: a file is missing, empty, or differs from what the archive states.
    """
    subject = product.display_name
    paths = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    if not paths:
        raise CorruptError(f"{subject}: no file arrived")
    files: dict[str, DownloadedFile] = {}
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in paths):
        if path.is_symlink() or not path.is_file() or path.stat().st_size == 0:
            raise CorruptError(f"{subject}: '{name}' is empty or not a regular file")
        files[name] = _verify_file(path, product.files.get(name, FileInfo()), f"{subject}: '{name}'", raise_if_stopped)
    missing = sorted(set(product.files) - set(files))
    if missing:
        raise CorruptError(f"{subject}: '{missing[0]}' did not arrive")
    return files


def _verify_file(path: Path, stated: FileInfo, subject: str, raise_if_stopped: Callable[[], None]) -> DownloadedFile:
    """Return size and SHA-256 of a file, read once, and compare them with what the archive states."""
    size = path.stat().st_size
    if stated.size is not None and size != stated.size:
        raise CorruptError(f"{subject} has {size:,} bytes, but the archive states {stated.size:,}")
    algorithm, _, expected = (stated.digest or "").partition(":")
    sha256 = hashlib.sha256()
    other = hashlib.new(algorithm, usedforsecurity=False) if algorithm in hashlib.algorithms_available else None
    with path.open("rb") as file:
        while block := file.read(_BLOCK_SIZE):
            raise_if_stopped()
            sha256.update(block)
            if other is not None:
                other.update(block)
    if other is not None and other.hexdigest() != expected.lower():
        raise CorruptError(f"{subject} does not match the {algorithm} digest that the archive states")
    return DownloadedFile(size, sha256.hexdigest())


def _make_fetched(
    product: Product, product_folder: Path, files: dict[str, DownloadedFile], *, from_cache: bool = False
) -> FetchedProduct:
    listing: list[Any] = [[name, file.size, file.sha256] for name, file in files.items()]
    digest = listing[0][2] if len(files) == 1 else hashlib.sha256(rfc8785.dumps(listing)).hexdigest()
    total_bytes = sum(file.size for file in files.values())
    return FetchedProduct(product, product_folder / _FILES, files, total_bytes, digest, from_cache)


def _files_to_json(files: Mapping[str, DownloadedFile]) -> dict[str, Any]:
    return {name: {"size": file.size, "sha256": file.sha256} for name, file in files.items()}


def _write_manifest(product_folder: Path, fetched: FetchedProduct) -> None:
    """Write the manifest and flush it to disk, before the folder is renamed."""
    content = {
        "version": _MANIFEST_VERSION,
        "provider": fetched.product.provider,
        "collection": fetched.product.collection,
        "product_id": fetched.product.product_id,
        "files": _files_to_json(fetched.files),
        "total": fetched.total_bytes,
        "digest": fetched.digest,
    }
    with (product_folder / _MANIFEST).open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, ensure_ascii=False, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(product_folder)


def _read_manifest(product_folder: Path) -> dict[str, Any]:
    content = json.loads((product_folder / _MANIFEST).read_text(encoding="utf-8"))
    return content if isinstance(content, dict) and content.get("version") == _MANIFEST_VERSION else {}


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, on systems that can open folders."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delete_product(product_folder: Path) -> None:
    """Rename a product's folder, then delete it, so that a half-deleted one never counts as complete."""
    name = f"{product_folder.name}.{os.getpid()}-{next(_run_numbers)}{_PARTIAL_SUFFIX}"
    partial = product_folder.with_name(name)
    _delete_folders([product_folder.rename(partial)])


def _delete_folders(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
