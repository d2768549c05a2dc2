"""Download many products in parallel into a cache folder, verified, until the dataset has imported them.

Each product has a folder with `manifest.json` and its files under `files/`. It is downloaded into `<name>.part` and
renamed when complete; after a crash of the machine, verification finds what did not reach the disk. Orders of products
that are offline lie beside them, in `*.order.json`.
"""

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
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import rfc8785
from filelock import FileLock, Timeout

from geographer.archives.base import FileInfo, Product, Source, describe_plugin_failure
from geographer.archives.orders import delete_order, read_order, write_order
from geographer.base.errors import AccessDeniedError, ConflictError, GeographerError, OrderRequiredError, SourceError
from geographer.base.progress import ProgressCallback, ignore_progress
from geographer.base.retry import RetryPolicy

logger = logging.getLogger(__name__)

_MANIFEST: Final = "manifest.json"
_FILES: Final = "files"
_PARTIAL_SUFFIX: Final = ".part"
_BLOCK_SIZE: Final = 1 << 20
_PROGRESS_INTERVAL_S: Final = 0.1

_SHUTDOWN_TIMEOUT_S: Final = 2.0
"""How long to wait for threads to stop. A thread that blocks on a dead connection is abandoned, which is harmless."""

_DEFAULT_WORKERS: Final = 4

_run_numbers: Final = count()


class DownloadedFile(NamedTuple):
    """A downloaded file: size in bytes and SHA-256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FetchedProduct:
    """A complete and verified product in the cache; `from_cache` if an earlier run downloaded it.

    `folder` has its `files` as delivered, by sorted path in the folder ('/' between parts). `digest` is a SHA-256 in
    hex: of the only file, or of the listing `[path, size, sha256]`, sorted by path, in canonical JSON (RFC 8785).
    """

    product: Product
    folder: Path
    files: Mapping[str, DownloadedFile]
    total_bytes: int
    digest: str
    from_cache: bool = False


class FailedDownload(NamedTuple):
    """A product that failed, and why, for the user.

    If it `needs_order`, it is offline; if it `is_ordered`, too, a later run can download it. If it `is_replaceable`,
    others may be downloaded instead: neither the login nor the disk failed, nor does the archive ask to wait. If it
    `is_temporary`, a retry may succeed, though all attempts failed.
    """

    product: Product
    reason: str
    needs_order: bool = False
    is_ordered: bool = False
    is_replaceable: bool = False
    is_temporary: bool = False


def fetch_products(
    source: Source,
    products: Iterable[Product],
    folder: Path,
    *,
    workers: int = _DEFAULT_WORKERS,
    on_progress: ProgressCallback = ignore_progress,
    retry_policy: RetryPolicy | None = None,
) -> Generator[FetchedProduct | FailedDownload, None, None]:
    """Download products and yield each as it finishes, in no particular order; duplicates are downloaded once.

    Products that an earlier run completed are verified (sizes and SHA-256) and not downloaded again: `folder`, created
    if missing, keeps products until `delete_downloads`. `Source.max_concurrent` limits `workers`. `on_progress` is
    called regularly, in the thread that iterates. To stop early, close the generator, as `contextlib.closing` does.
    `ConflictError` if another process downloads into the folder, `OSError` if it cannot be created.
    """
    by_name = {_make_folder_name(product): product for product in products}
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".lock").acquire(blocking=False)
    except Timeout:
        raise ConflictError(f"another process downloads into '{folder}'. Wait for it, or stop it.") from None
    with lock:
        for leftover in folder.glob(f"*{_PARTIAL_SUFFIX}"):
            shutil.rmtree(leftover, ignore_errors=True)
        pool = _DownloadPool(source, by_name, folder, retry_policy or RetryPolicy())
        try:
            max_concurrent = vars(source).get("at_once", source.max_concurrent)  # its name in version 0.1.0
            if workers > max(max_concurrent, _DEFAULT_WORKERS) and len(by_name) > max_concurrent:
                name = type(source).__name__
                logger.warning(
                    "%s fetches at most %d products at the same time, not %d.", name, max_concurrent, workers
                )
            yield from pool.iter_outcomes(max(1, min(workers, max_concurrent)), on_progress)
        finally:
            pool.stop_threads()


def delete_downloads(folder: Path, products: Iterable[Product]) -> None:
    """Delete products from the cache folder; missing ones are ignored."""
    for product in products:
        shutil.rmtree(folder / _make_folder_name(product), ignore_errors=True)


class _StoppedError(BaseException):
    """Ends a thread at its next byte; a `BaseException`, so that libraries do not catch it."""


class _DownloadPool:
    def __init__(self, source: Source, by_name: Mapping[str, Product], folder: Path, retry_policy: RetryPolicy) -> None:
        self._source, self._by_name, self._folder, self._retry_policy = source, by_name, folder, retry_policy
        self._pending: queue.SimpleQueue[tuple[str, Product]] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[FetchedProduct | FailedDownload | BaseException] = queue.SimpleQueue()
        self._bytes_by_name = dict.fromkeys(by_name, 0)
        self._stop_requested = threading.Event()
        self._earliest_attempt = 0.0
        self._threads: list[threading.Thread] = []
        self._partial_suffix = f".{os.getpid()}-{next(_run_numbers)}{_PARTIAL_SUFFIX}"

    def iter_outcomes(self, workers: int, on_progress: ProgressCallback) -> Iterator[FetchedProduct | FailedDownload]:
        n_done, total = 0, len(self._by_name)
        for item in self._by_name.items():
            self._pending.put(item)
        for number in range(min(workers, total)):
            thread = threading.Thread(target=self._run_worker, name=f"geographer-fetch-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()
        while n_done < total:
            outcome = None
            with suppress(queue.Empty):
                outcome = self._outcomes.get(timeout=_PROGRESS_INTERVAL_S)
            if isinstance(outcome, BaseException):
                raise outcome
            n_done += outcome is not None
            on_progress(f"products, {sum(self._bytes_by_name.values()) / 1e6:,.1f} MB", n_done, total)
            if outcome is not None:
                yield outcome

    def stop_threads(self) -> None:
        self._stop_requested.set()
        deadline = time.monotonic() + _SHUTDOWN_TIMEOUT_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for partial_folder in self._folder.glob(f"*{self._partial_suffix}"):
            shutil.rmtree(partial_folder, ignore_errors=True)

    def _run_worker(self) -> None:
        try:
            while not self._stop_requested.is_set():
                self._outcomes.put(self._make_outcome(*self._pending.get_nowait()))
        except (queue.Empty, _StoppedError):
            return
        except BaseException as error:
            self._outcomes.put(error)

    def _make_outcome(self, name: str, product: Product) -> FetchedProduct | FailedDownload:
        product = replace(product, order=read_order(self._folder, product))
        try:
            fetched = self._load_cached(name, product) or self._retry_policy.call_with_retry(
                lambda: self._attempt_download(name, product), self._stop_requested
            )
            delete_order(self._folder, product)
            return fetched
        except OrderRequiredError as error:
            if error.is_ordered and error.order != product.order:
                write_order(self._folder, product, error.order)
            return FailedDownload(product, str(error), True, error.is_ordered, not error.is_ordered)
        except GeographerError as error:
            is_temporary = getattr(error, "retryable", False)
            if not is_temporary:
                delete_order(self._folder, product)  # The archive rejects it: the next run orders the product again.
            must_wait = (getattr(error, "retry_after", None) or 0) > self._retry_policy.max_retry_after
            is_replaceable = not (isinstance(error, AccessDeniedError) or must_wait)
            return FailedDownload(product, str(error), is_replaceable=is_replaceable, is_temporary=is_temporary)
        except OSError as error:
            detail = error.strerror or type(error).__name__
            reason = f" cannot be written to '{self._folder}' ({detail}). Check the disk."
        except Exception as error:
            # A custom source may raise anything; the other products continue.
            logger.debug("a source failed", exc_info=True)
            reason = f": {describe_plugin_failure(self._source, error)}"
            return FailedDownload(product, f"product '{product.product_id}'{reason}", is_replaceable=True)
        return FailedDownload(product, f"product '{product.product_id}'{reason}")

    def _load_cached(self, name: str, product: Product) -> FetchedProduct | None:
        """Return the product that an earlier run completed; otherwise None, with its folder deleted."""
        product_folder = self._folder / name
        if not product_folder.is_dir():
            return None
        with suppress(SourceError, OSError):
            fetched = _verify_product(product, product_folder / _FILES, self._raise_if_stopped)
            if (product_folder / _MANIFEST).read_bytes() == _encode_manifest(fetched):
                self._bytes_by_name[name] = fetched.total_bytes
                return replace(fetched, from_cache=True)
        shutil.rmtree(product_folder, ignore_errors=True)
        return None

    def _attempt_download(self, name: str, product: Product) -> FetchedProduct:
        """Make one attempt. After a `Retry-After`, all threads wait before their next attempt."""
        delay = self._earliest_attempt - time.monotonic()
        if delay > 0:
            self._retry_policy.sleep(delay, self._stop_requested)
        self._raise_if_stopped()
        partial_folder = self._folder / f"{name}{self._partial_suffix}"
        try:
            (partial_folder / _FILES).mkdir(parents=True)
            self._source.fetch(product, partial_folder / _FILES, partial(self._count_bytes, name))
            fetched = _verify_product(product, partial_folder / _FILES, self._raise_if_stopped)
            (partial_folder / _MANIFEST).write_bytes(_encode_manifest(fetched))
            partial_folder.rename(self._folder / name)
        except BaseException as error:
            shutil.rmtree(partial_folder, ignore_errors=True)
            self._bytes_by_name[name] = 0
            retry_after = error.retry_after if isinstance(error, SourceError) else None
            if retry_after is not None and retry_after <= self._retry_policy.max_retry_after:
                self._earliest_attempt = max(self._earliest_attempt, time.monotonic() + retry_after)
            raise
        self._bytes_by_name[name] = fetched.total_bytes
        return replace(fetched, folder=self._folder / name / _FILES)

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
    safe_id = re.sub(r"[^\w.-]+", "_", product.product_id)
    return f"{safe_id.strip('.')[:60].encode()[:200].decode(errors='ignore')}-{digest}"


def _verify_product(product: Product, folder: Path, raise_if_stopped: Callable[[], None]) -> FetchedProduct:
    """Hash the files in `folder`; raise `SourceError` if one is missing, empty, or not what the archive states."""
    files: dict[str, DownloadedFile] = {}
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    for name, path in sorted(paths.items()):
        if path.is_symlink() or not path.is_dir():
            subject = f"{product.display_name}: '{name}'"
            files[name] = _verify_file(path, product.files.get(name, FileInfo()), subject, raise_if_stopped)
    if not files:
        raise SourceError(f"{product.display_name}: no file arrived", retryable=True)
    if missing := sorted(set(product.files) - set(files)):
        raise SourceError(f"{product.display_name}: '{missing[0]}' did not arrive", retryable=True)
    listing: list[list[str | int]] = [[name, *file] for name, file in files.items()]
    digest = hashlib.sha256(rfc8785.dumps(listing)).hexdigest() if len(files) > 1 else next(iter(files.values())).sha256
    return FetchedProduct(product, folder, files, sum(file.size for file in files.values()), digest)


def _verify_file(path: Path, stated: FileInfo, subject: str, raise_if_stopped: Callable[[], None]) -> DownloadedFile:
    """Return size and SHA-256 of a file, read once, and compare them with what the archive states."""
    size = path.stat().st_size if path.is_file() and not path.is_symlink() else 0
    if size == 0:
        raise SourceError(f"{subject} is empty or not a regular file", retryable=True)
    if stated.size is not None and size != stated.size:
        raise SourceError(f"{subject} has {size:,} bytes, but the archive states {stated.size:,}", retryable=True)
    algorithm, _, expected = (stated.digest or "").partition(":")
    names = {"sha256", algorithm} & hashlib.algorithms_available
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in names}
    with path.open("rb") as file:
        while block := file.read(_BLOCK_SIZE):
            raise_if_stopped()
            for digest in digests.values():
                digest.update(block)
    if algorithm in digests and digests[algorithm].hexdigest() != expected.lower():
        raise SourceError(f"{subject} does not match the {algorithm} digest that the archive states", retryable=True)
    return DownloadedFile(size, digests["sha256"].hexdigest())


def _encode_manifest(fetched: FetchedProduct) -> bytes:
    names = {name: getattr(fetched.product, name) for name in ("provider", "collection", "product_id")}
    files = {name: file._asdict() for name, file in fetched.files.items()}
    content = {"version": 1, **names, "files": files, "total": fetched.total_bytes, "digest": fetched.digest}
    return f"{json.dumps(content, ensure_ascii=False, indent=2)}\n".encode()
