"""Many products fetched at once: each verified, kept with a manifest of its own until the dataset has taken it over.

A product lies in a folder of its own: `manifest.json`, and its files under `files/`. It is made under another name,
`….part`, and gets its name when it is whole; so whatever ends this process, what has its name is whole.
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
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import rfc8785

from geographer.archives.base import FileInfo, OrderRequiredError, Product, Source, SourceError, describe_plugin_failure
from geographer.base.errors import ConflictError, CorruptError, GeographerError
from geographer.base.file_lock import try_lock
from geographer.base.retry import RetryPolicy

logger = logging.getLogger("geographer")

Told = Callable[[int, int, int], None]
"""Told how many products are done, of how many, and how many bytes of them all are here."""

_MANIFEST: Final = "manifest.json"
_FILES: Final = "files"
_PART: Final = ".part"
_LOCK: Final = ".lock"
_VERSION: Final = 1
_BLOCK: Final = 1 << 20
_TELL: Final = 0.1
"""Seconds between two times that progress is told."""

_FAREWELL: Final = 2.0
"""Seconds that threads have to stop; one that waits for a dead connection is left behind, and can do no harm."""

_UNSAFE: Final = re.compile(r"[^\w.-]+")
_runs: Final = count()


class File(NamedTuple):
    """A file that arrived: its `size` in bytes and its SHA-256, in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """A product that is here, whole and verified.

    Attributes:
        product: Which one.
        folder: Where its files are, as they arrived.
        files: What arrived, by path in the folder ('/' between its parts), sorted.
        total: Bytes of all files.
        digest: SHA-256 in hex: of the file, if it is only one; else of the listing in canonical JSON (RFC 8785), an
            array of `[path, size, sha256]` sorted by path.
        reused: It was fetched by an earlier run.
    """

    product: Product
    folder: Path
    files: Mapping[str, File]
    total: int
    digest: str
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A product that could not be had.

    Attributes:
        product: Which one.
        reason: Why not, and the next step, for a person.
        offline: The archive has to bring it back first, and a later run gets it.
    """

    product: Product
    reason: str
    offline: bool = False


class Leftover(NamedTuple):
    """What lies in the folder of downloads: a `path`, its `size` in bytes, and the id of the product if it is whole."""

    path: Path
    size: int
    product_id: str | None


def fetch_all(
    source: Source,
    products: Iterable[Product],
    folder: Path,
    *,
    workers: int = 4,
    told: Told | None = None,
    patience: RetryPolicy | None = None,
) -> Generator[Fetched | Failed, None, None]:
    """Fetch products, and hand each over as it is done, in no particular order.

    What an earlier run has fetched whole is checked (sizes and SHA-256) and not fetched again. Close the iterator, as
    `contextlib.closing` does, to stop before the end.

    Args:
        source: Where they come from.
        products: As a search found them; one that is named twice is fetched once.
        folder: Keeps them until `discard`; it is made if need be.
        workers: Products to fetch at once; never more than the source allows.
        told: Called now and then, and at every end of a product, in the thread that iterates.
        patience: With trouble that passes.

    Raises:
        ConflictError: another process fetches into the folder.
        OSError: the folder can't be made.
    """
    places = {_name(product): product for product in products}
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _sweep(folder)
        run = _Run(source, places, folder, patience or RetryPolicy())
        try:
            yield from run.outcomes(max(1, min(workers, source.max_concurrent)), told or _untold)
        finally:
            run.stop()


def discard(folder: Path, products: Iterable[Product]) -> None:
    """Delete products that the dataset has taken over; those that are not there are passed over."""
    for product in products:
        place = folder / _name(product)
        if place.is_dir():
            _remove(place)


def leftovers(folder: Path) -> list[Leftover]:
    """What lies in the folder of downloads, by path: whole products, and parts that a killed process has left."""
    if not folder.is_dir():
        return []
    found = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        manifest = None if place.suffix == _PART else _read(place)
        found.append(Leftover(place, size, None if manifest is None else str(manifest.get("product_id"))))
    return found


class _StoppedError(BaseException):
    """Ends a thread at the next byte; no library takes it for an error of its own."""


class _Run:
    """One run: products that wait, threads that fetch them, and what came of them."""

    def __init__(self, source: Source, places: Mapping[str, Product], folder: Path, patience: RetryPolicy) -> None:
        self._source, self._places, self._folder, self._patience = source, places, folder, patience
        self._waiting: queue.SimpleQueue[tuple[str, Product]] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Fetched | Failed | BaseException] = queue.SimpleQueue()
        self._arrived: dict[str, int] = {}
        self._stopping = threading.Event()
        self._not_before = 0.0
        self._threads: list[threading.Thread] = []
        self._number = f"{os.getpid()}-{next(_runs)}"

    def outcomes(self, workers: int, told: Told) -> Iterator[Fetched | Failed]:
        for item in self._places.items():
            self._waiting.put(item)
        for number in range(min(workers, len(self._places))):
            thread = threading.Thread(target=self._work, name=f"geographer-fetch-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()
        for done in range(len(self._places)):
            outcome = self._next(partial(self._tell, told, done))
            told(done + 1, len(self._places), sum(self._arrived.values()))
            yield outcome

    def stop(self) -> None:
        """Ask the threads to end, wait for them a little, and leave no part behind."""
        self._stopping.set()
        end = time.monotonic() + _FAREWELL
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        for part in self._folder.glob(f"*.{self._number}{_PART}"):
            shutil.rmtree(part, ignore_errors=True)

    def _tell(self, told: Told, done: int) -> None:
        told(done, len(self._places), sum(self._arrived.values()))

    def _next(self, meanwhile: Callable[[], None]) -> Fetched | Failed:
        while True:
            try:
                outcome = self._done.get(timeout=_TELL)
            except queue.Empty:
                meanwhile()
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                name, product = self._waiting.get_nowait()
            except queue.Empty:
                return
            try:
                self._done.put(self._outcome(name, product))
            except _StoppedError:
                return
            except BaseException as error:
                self._done.put(error)
                return

    def _tried(self, name: str, product: Product) -> Fetched:
        """One try; when the archive asks one thread to wait, the others wait, too."""
        if self._patience.sleep is time.sleep:
            self._sleep(self._not_before - time.monotonic())
        try:
            return self._fetched(name, product)
        except SourceError as error:
            if error.retry_after is not None and error.retry_after <= self._patience.bound:
                self._not_before = max(self._not_before, time.monotonic() + error.retry_after)
            raise

    def _outcome(self, name: str, product: Product) -> Fetched | Failed:
        """What came of one product."""
        try:
            return self._kept(name, product) or self._patience.call_with_retry(
                lambda: self._tried(name, product), self._sleep
            )
        except GeographerError as error:
            return Failed(product, str(error), isinstance(error, OrderRequiredError))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return Failed(
                product,
                f"product '{product.product_id}' can't be kept in '{self._folder}' ({reason}): mend or free the disk",
            )
        except Exception as error:
            # A source of a person's own may raise anything, and must not take the other products with it.
            logger.debug("a source failed", exc_info=True)
            return Failed(product, f"product '{product.product_id}': {describe_plugin_failure(self._source, error)}")

    def _kept(self, name: str, product: Product) -> Fetched | None:
        """The product as an earlier run has fetched it; None, and nothing left of it, if that is not whole."""
        place = self._folder / name
        if not place.is_dir():
            return None
        try:
            files = _verified(place / _FILES, product, self._checkpoint)
        except (CorruptError, OSError):
            files = None
        manifest = _read(place)
        if files is None or manifest is None or manifest.get("files") != _listed(files):
            _remove(place)
            return None
        self._arrived[name] = sum(file.size for file in files.values())
        return _result(product, place, files, reused=True)

    def _fetched(self, name: str, product: Product) -> Fetched:
        """One try."""
        part = self._folder / f"{name}.{self._number}{_PART}"
        shutil.rmtree(part, ignore_errors=True)
        files_folder = part / _FILES
        try:
            files_folder.mkdir(parents=True)
            self._arrived[name] = 0
            self._source.fetch(product, files_folder, lambda arrived: self._count(name, arrived))
            try:
                files = _verified(files_folder, product, self._checkpoint)
            except CorruptError as error:
                raise SourceError(str(error), retryable=True) from None
            _write(part, product, files)
            part.rename(self._folder / name)
            _sync(self._folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            self._arrived[name] = 0
            raise
        self._arrived[name] = sum(file.size for file in files.values())
        return _result(product, self._folder / name, files)

    def _count(self, name: str, arrived: int) -> None:
        self._checkpoint()
        self._arrived[name] = arrived

    def _checkpoint(self) -> None:
        if self._stopping.is_set():
            raise _StoppedError

    def _sleep(self, seconds: float) -> None:
        """Wait, unless this run is stopped meanwhile."""
        if self._patience.sleep is time.sleep:
            self._stopping.wait(max(0.0, seconds))
        else:
            self._patience.sleep(seconds)
        self._checkpoint()


def _untold(_done: int, _of: int, _arrived: int) -> None:
    """Nobody wants to know."""


def _name(product: Product) -> str:
    """The folder of a product: also of which files of it, for another choice of assets is another download."""
    key = [product.provider, product.collection, product.product_id, sorted(product.files)]
    digest = hashlib.sha256(rfc8785.dumps(key)).hexdigest()[:16]
    return f"{_UNSAFE.sub('_', product.product_id).strip('.')[:60]}-{digest}"


def _verified(folder: Path, product: Product, checkpoint: Callable[[], None]) -> dict[str, File]:
    """What lies in `folder`, by path.

    Raises:
        CorruptError: nothing is there, a file is empty, or something is not what the archive states.
    """
    what = f"product '{product.product_id}' of '{product.provider}'"
    found = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    if not found:
        raise CorruptError(f"{what}: nothing of it arrived")
    files: dict[str, File] = {}
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in found):
        if path.is_symlink() or not path.is_file() or path.stat().st_size == 0:
            raise CorruptError(f"{what}: '{name}' is empty, or no file")
        files[name] = _checked(path, name, product.files.get(name, FileInfo()), what, checkpoint)
    missing = sorted(set(product.files) - set(files))
    if missing:
        raise CorruptError(f"{what}: '{missing[0]}' did not arrive")
    return files


def _checked(path: Path, name: str, stated: FileInfo, what: str, checkpoint: Callable[[], None]) -> File:
    """Size and SHA-256 of a file, from one read, which also checks them against what the archive states."""
    size = path.stat().st_size
    if stated.size is not None and size != stated.size:
        raise CorruptError(f"{what}: '{name}' has {size:,} bytes, but the archive states {stated.size:,}")
    algorithm, _, expected = (stated.digest or "").partition(":")
    evidence = hashlib.sha256()
    other = hashlib.new(algorithm, usedforsecurity=False) if algorithm in hashlib.algorithms_available else None
    with path.open("rb") as content:
        while block := content.read(_BLOCK):
            checkpoint()
            evidence.update(block)
            if other is not None:
                other.update(block)
    if other is not None and other.hexdigest() != expected.lower():
        raise CorruptError(f"{what}: '{name}' has not the digest that the archive states")
    return File(size, evidence.hexdigest())


def _result(product: Product, place: Path, files: dict[str, File], *, reused: bool = False) -> Fetched:
    total = sum(file.size for file in files.values())
    return Fetched(product, place / _FILES, files, total, _digest(files), reused)


def _digest(files: Mapping[str, File]) -> str:
    if len(files) == 1:
        (file,) = files.values()
        return file.sha256
    return hashlib.sha256(rfc8785.dumps([[name, file.size, file.sha256] for name, file in files.items()])).hexdigest()


def _listed(files: Mapping[str, File]) -> dict[str, Any]:
    return {name: {"size": file.size, "sha256": file.sha256} for name, file in files.items()}


def _write(part: Path, product: Product, files: Mapping[str, File]) -> None:
    """The manifest, whole and on the disk."""
    content = {
        "version": _VERSION,
        "provider": product.provider,
        "collection": product.collection,
        "product_id": product.product_id,
        "files": _listed(files),
        "total": sum(file.size for file in files.values()),
        "digest": _digest(files),
    }
    with (part / _MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    _sync(part)


def _read(place: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((place / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("version") == _VERSION else None


def _sync(folder: Path) -> None:
    """Make sure that a name in a folder is on the disk, where folders can be opened for that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(place: Path) -> None:
    """Delete a product, first its name, so that a half-deleted one is never taken for a whole one."""
    part = place.with_name(f"{place.name}.{os.getpid()}-{next(_runs)}{_PART}")
    place.rename(part)
    shutil.rmtree(part, ignore_errors=True)


def _sweep(folder: Path) -> None:
    for part in folder.glob(f"*{_PART}"):
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder."""
    with try_lock(folder / _LOCK) as ours:
        if not ours:
            raise ConflictError(f"another process downloads into '{folder}': wait for it, or stop it")
        yield
