"""One product fetched by eodag, once: its files under the names that readers look for, and nothing else."""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from geographer.archives.base import BytesCallback, OrderRequiredError, Product, SourceError
from geographer.archives.eodag.client import Client
from geographer.archives.eodag.products import Handle, safe_name
from geographer.archives.http_errors import chain, trouble

_ONLINE: Final = "succeeded"
_WORKING: Final = ".eodag"
"""Where eodag works, inside the product's folder; it is gone afterwards."""

_ACCEPTED: Final = 202
_PAUSE: Final = 1.0
"""Minutes between tries of eodag's own; there are none, but zero would mean that it never pauses."""


def download(client: Client, product: Product, folder: Path, told: BytesCallback) -> None:
    """See `Source.fetch`. Assets come one after the other, so that no thread is left that writes after an error."""
    handle: Handle = product.handle
    working = folder / _WORKING
    working.mkdir(parents=True)
    progress = Progress(told)
    try:
        with _translated(client, product), client.lock:
            client.dag._setup_downloader(handle.found)
        _order(client, product, handle)
        for index, (asset, name) in enumerate(handle.names.items()):
            arrived = _fetched(client, product, working / str(index), progress, asset)
            _placed(arrived, working / str(index), folder / name)
        if not handle.names:
            _check_link(product, handle)
            _fetched(client, product, working / "whole", progress, None)
            _whole(product, handle, working / "whole", folder)
    finally:
        stream = getattr(handle.found, "_stream", None)
        if stream is not None:
            stream.close()  # eodag leaves the connection open after an error
        shutil.rmtree(working, ignore_errors=True)


class Progress:
    """What eodag tells its progress to: counts bytes, and draws nothing."""

    def __init__(self, told: BytesCallback) -> None:
        self._told, self._arrived, self._lock = told, 0, threading.Lock()
        self.unit, self.unit_scale, self.desc, self.pos, self.total = "B", True, "", 0, None

    def __call__(self, increment: int, total: int | None = None) -> None:
        """So many bytes more; while eodag counts files, it does not matter."""
        if self.unit != "B":
            return
        with self._lock:
            self._arrived += increment
            arrived = self._arrived
        self._told(arrived)

    def reset(self, total: int | None = None) -> None:
        """Nothing: what arrived counts on, over all assets."""

    def refresh(self) -> None:
        """Nothing to draw."""

    def close(self) -> None:
        """Nothing to close."""

    def copy(self, *_args: Any, **_kwargs: Any) -> Progress:
        """Itself: bytes are counted over all parts of a product."""
        return self


def _fetched(client: Client, product: Product, folder: Path, progress: Progress, asset: str | None) -> list[Path]:
    """The files that eodag writes into `folder`, for one asset or for the whole product."""
    found = product.handle.found
    found.location = found.remote_location
    folder.mkdir()
    options: dict[str, Any] = {"output_dir": str(folder), "extract": False, "wait": _PAUSE, "timeout": 0.0}
    progress.unit = "B"
    if asset is not None:
        options["asset"] = re.escape(asset)
        # A name that the archive sends may point anywhere; with one given beforehand eodag does not look for it.
        found.assets[asset].filename = "asset"
        # For progress eodag would ask for a size that is not stated, up to twice, before it fetches the file.
        found.assets[asset].data.setdefault("file:size", 0)
    with _translated(client, product):
        _serialise_logins(client, found)
        client.dag.download(found, progress_callback=progress, executor=_Inline(), **options)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and ".downloaded" not in path.parts)
    if not files:
        raise SourceError(f"{_what(product)}: nothing of it arrived", retryable=True)
    return files


def _check_link(product: Product, handle: Handle) -> None:
    if handle.found.remote_location in {"", "Not Available"}:
        raise SourceError(f"{_what(product)} has nothing that can be fetched: leave it out, or take another collection")


class _Inline(Executor):
    """Runs what eodag would give to threads of its own, which go on writing after an error, in this thread."""

    _max_workers = 1
    _thread_name_prefix = "geographer"

    def _counter(self) -> int:
        """What eodag asks for the place of its progress bar."""
        return 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `Executor.submit`; an error, also one that ends this run, is raised where the result is asked for."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def _serialise_logins(client: Client, found: Any) -> None:
    """Let one thread at a time log in: eodag's plugins keep the token that they got on themselves."""
    login = found.downloader_auth
    if login is None or "authenticate" in vars(login):
        return
    authenticate = login.authenticate

    def one_at_a_time() -> Any:
        with client.lock:
            return authenticate()

    login.authenticate = one_at_a_time


def _order(client: Client, product: Product, handle: Handle) -> None:
    """Order a product that is offline and comes by its assets; one that comes whole is ordered by eodag itself."""
    found = handle.found
    if not handle.names or _is_online(found):
        return
    if getattr(found.downloader.config, "order_enabled", False) and hasattr(found.downloader, "order"):
        with _translated(client, product):
            login = found.downloader_auth.authenticate() if found.downloader_auth is not None else None
            found.downloader.order(found, login, wait=_PAUSE, timeout=0.0)
    if not _is_online(found):
        raise _offline(product)


def _is_online(found: Any) -> bool:
    return bool(found.properties.get("order:status", _ONLINE) == _ONLINE)


def _offline(product: Product) -> OrderRequiredError:
    return OrderRequiredError(
        f"{_what(product)} is offline: the archive has to bring it back first; run this again in some hours"
    )


def _what(product: Product) -> str:
    return f"product '{product.product_id}' of '{product.provider}'"


@contextmanager
def _translated(client: Client, product: Product) -> Iterator[None]:
    """Turn what eodag raises into what a source may raise; a full disk stays what it is."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        raise _failed(client, product, error) from None


def _failed(client: Client, product: Product, error: Exception) -> Exception:
    import requests
    from eodag.utils import exceptions

    for one in chain(error):
        if isinstance(one, SourceError):
            return one
        network = isinstance(one, requests.RequestException | ConnectionError | TimeoutError)
        if isinstance(one, OSError) and one.errno is not None and one.filename is not None and not network:
            return one
        if _is_of_the_disk(one):
            return one if isinstance(one, Exception) else error
    found = product.handle.found
    response = getattr(found, "_stream", None)
    unavailable = isinstance(error, exceptions.NotAvailableError)
    if unavailable and (not _is_online(found) or getattr(response, "status_code", None) == _ACCEPTED):
        return _offline(product)
    if getattr(response, "status_code", None) == _ACCEPTED and not product.handle.names:
        return _offline(product)
    reason = trouble(error, _what(product), client.clean, client.credentials)
    if isinstance(error, exceptions.AuthenticationError | exceptions.MisconfiguredError) and not reason.retryable:
        return SourceError(f"{_what(product)}: the archive can't be logged in to: {client.credentials}")
    return reason


def _is_of_the_disk(error: BaseException) -> bool:
    full = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EMFILE, errno.EFBIG, getattr(errno, "EDQUOT", -1)}
    return isinstance(error, OSError) and error.errno in full


def _placed(files: list[Path], folder: Path, destination: Path) -> None:
    """Move an asset's file to `destination`; where it is several files, their tree."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    if len(files) == 1:
        files[0].rename(destination)
        return
    for file in files:
        place = destination / file.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.rename(place)


def _whole(product: Product, handle: Handle, folder: Path, destination: Path) -> None:
    """Move what arrived of a product that comes whole: one file by the product's name, or a tree as it is."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and ".downloaded" not in path.parts)
    if len(files) > 1:
        for file in files:
            place = destination / file.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.rename(place)
        return
    (file,) = files
    if handle.digest is not None and not _has_digest(file, handle.digest):
        raise SourceError(f"{_what(product)}: what arrived has not the digest that the archive states", retryable=True)
    name = safe_name(product.product_id)
    extension = _kind(file)
    file.rename(destination / (name if name.lower().endswith(extension) and extension else name + extension))


def _has_digest(file: Path, stated: str) -> bool:
    algorithm, _, digest = stated.partition(":")
    with file.open("rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest() == digest


def _kind(file: Path) -> str:
    """The extension that fits the content: archives come under many names, or none."""
    if zipfile.is_zipfile(file):
        return ".zip"
    if tarfile.is_tarfile(file):
        with file.open("rb") as content:
            return ".tar.gz" if content.read(2) == b"\x1f\x8b" else ".tar"
    return file.suffix.lower()
