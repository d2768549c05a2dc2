"""Download one product with eodag in one attempt: files under the names that readers expect, and nothing else."""

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

from geographer.archives.base import BytesCallback, Product
from geographer.archives.eodag.client import EodagClient
from geographer.archives.eodag.products import EodagHandle, make_safe_name
from geographer.archives.http_errors import iter_causes
from geographer.base.errors import OrderRequiredError, SourceError

_ONLINE: Final = "succeeded"
_WORK_FOLDER: Final = ".eodag"
"""eodag's temporary folder inside the product's folder."""

_HTTP_ACCEPTED: Final = 202
_EODAG_WAIT_MINUTES: Final = 1.0
"""eodag's `wait` between its retries. It never retries here (timeout=0), but it rejects wait=0."""

_DISK_ERRNOS: Final = frozenset(
    {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EMFILE, errno.EFBIG, getattr(errno, "EDQUOT", -1)}
)


def download_product(client: EodagClient, product: Product, folder: Path, on_progress: BytesCallback) -> None:
    """Download a product; see `Source.fetch`. Assets come one by one, so that no thread writes after an error."""
    handle: EodagHandle = product.handle
    work_folder = folder / _WORK_FOLDER
    work_folder.mkdir(parents=True)
    progress = EodagProgress(on_progress)
    try:
        with _translate_errors(client, product), client.lock:
            client.dag._setup_downloader(handle.eodag_product)
        if handle.file_names and not _is_online(handle.eodag_product):
            _order_product(client, product)
        for index, (asset, name) in enumerate(handle.file_names.items()):
            files = _download_files(client, product, work_folder / str(index), progress, asset)
            _move_files(files, work_folder / str(index), folder / name)
        if not handle.file_names:
            if handle.eodag_product.remote_location in {"", "Not Available"}:
                advice = "Exclude it, or choose another collection."
                raise SourceError(f"{product.display_name} has no download link. {advice}")
            files = _download_files(client, product, work_folder / "whole", progress, None)
            destination = folder / _name_whole_product(product, files[0]) if len(files) == 1 else folder
            _move_files(files, work_folder / "whole", destination)
    finally:
        stream = getattr(handle.eodag_product, "_stream", None)
        if stream is not None:
            stream.close()  # eodag leaves the connection open after an error.
        shutil.rmtree(work_folder, ignore_errors=True)


class EodagProgress:
    """The progress callback that eodag expects: counts bytes over all parts of a product and draws nothing."""

    def __init__(self, on_progress: BytesCallback) -> None:
        self._on_progress, self._n_bytes, self._lock = on_progress, 0, threading.Lock()
        self.unit, self.unit_scale, self.desc, self.pos, self.total = "B", True, "", 0, None

    def __call__(self, increment: int, total: int | None = None) -> None:
        """Add `increment` bytes; other units, such as files, are ignored."""
        if self.unit != "B":
            return
        with self._lock:
            self._n_bytes += increment
            n_bytes = self._n_bytes
        self._on_progress(n_bytes)

    def _ignore_call(self, *_args: Any, **_kwargs: Any) -> EodagProgress:
        """Return this object unchanged: the count continues over all assets, and there is no bar to draw."""
        return self

    reset = refresh = close = copy = _ignore_call


def _download_files(
    client: EodagClient, product: Product, folder: Path, progress: EodagProgress, asset: str | None
) -> list[Path]:
    """Download one asset, or with None the whole product, into `folder` and return its files."""
    eodag_product = product.handle.eodag_product
    eodag_product.location = eodag_product.remote_location
    folder.mkdir()
    options: dict[str, Any] = {"output_dir": str(folder), "extract": False, "wait": _EODAG_WAIT_MINUTES, "timeout": 0.0}
    progress.unit = "B"
    if asset is not None:
        options["asset"] = re.escape(asset)
        # A preset name prevents eodag from using one that the archive sends, which may point outside the folder.
        eodag_product.assets[asset].filename = "asset"
        # A preset size prevents up to two requests that eodag makes only for its progress bar.
        eodag_product.assets[asset].data.setdefault("file:size", 0)
    with _translate_errors(client, product):
        _serialise_logins(client, eodag_product)
        client.dag.download(eodag_product, progress_callback=progress, executor=_InlineExecutor(), **options)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and ".downloaded" not in path.parts)
    if not files:
        raise SourceError(f"{product.display_name}: no file arrived", retryable=True)
    return files


class _InlineExecutor(Executor):
    """Runs in this thread what eodag would submit to its own threads, which continue to write after an error."""

    _max_workers = 1
    _thread_name_prefix = "geographer"
    _counter = staticmethod(lambda: 1)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call `fn` at once; `Future.result` raises its error, see `Executor.submit`."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def _serialise_logins(client: EodagClient, eodag_product: Any) -> None:
    """Let one thread at a time log in, because eodag's plugins store their token on themselves."""
    login = eodag_product.downloader_auth
    if login is None or "authenticate" in vars(login):
        return
    authenticate = login.authenticate

    def authenticate_locked() -> Any:
        with client.lock:
            return authenticate()

    login.authenticate = authenticate_locked


def _order_product(client: EodagClient, product: Product) -> None:
    """Order an offline product that is delivered as assets; eodag itself orders products delivered as a whole."""
    eodag_product = product.handle.eodag_product
    downloader = eodag_product.downloader
    if getattr(downloader.config, "order_enabled", False) and hasattr(downloader, "order"):
        with _translate_errors(client, product):
            login = eodag_product.downloader_auth
            session = login.authenticate() if login is not None else None
            downloader.order(eodag_product, session, wait=_EODAG_WAIT_MINUTES, timeout=0.0)
    if not _is_online(eodag_product):
        raise _make_order_error(product)


def _is_online(eodag_product: Any) -> bool:
    return bool(eodag_product.properties.get("order:status", _ONLINE) == _ONLINE)


def _make_order_error(product: Product) -> OrderRequiredError:
    reason = "is offline: the archive must restore it first"
    return OrderRequiredError(f"{product.display_name} {reason}. Run the command again in a few hours.")


@contextmanager
def _translate_errors(client: EodagClient, product: Product) -> Iterator[None]:
    """Raise eodag's exceptions as those that a source may raise; errors of the disk stay `OSError`."""
    try:
        yield
    except Exception as error:
        raise _translate_exception(client, product, error) from None


def _translate_exception(client: EodagClient, product: Product, error: Exception) -> Exception:
    import requests
    from eodag.utils import exceptions

    for cause in iter_causes(error):
        if isinstance(cause, SourceError):
            return cause
        is_network = isinstance(cause, requests.RequestException | ConnectionError | TimeoutError)
        if isinstance(cause, OSError) and cause.errno is not None and cause.filename is not None and not is_network:
            return cause
        if isinstance(cause, OSError) and cause.errno in _DISK_ERRNOS:
            return cause
    eodag_product = product.handle.eodag_product
    is_accepted = getattr(getattr(eodag_product, "_stream", None), "status_code", None) == _HTTP_ACCEPTED
    is_unavailable = isinstance(error, exceptions.NotAvailableError)
    is_pending = is_accepted and (is_unavailable or not product.handle.file_names)
    if is_pending or (is_unavailable and not _is_online(eodag_product)):
        return _make_order_error(product)
    return client.to_source_error(error, product.display_name)


def _move_files(files: list[Path], folder: Path, destination: Path) -> None:
    """Move a tree of files in `folder` to `destination`; an only file becomes `destination` itself."""
    for file in files:
        target = destination / file.relative_to(folder) if len(files) > 1 else destination
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)


def _name_whole_product(product: Product, file: Path) -> str:
    """Check the digest of a product's only file, and return the product's name with the extension that fits."""
    algorithm, _, digest = (product.handle.digest or "").partition(":")
    if digest:
        with file.open("rb") as content:
            is_intact = hashlib.file_digest(content, algorithm).hexdigest() == digest
        if not is_intact:
            reason = "the download does not match the digest that the archive states"
            raise SourceError(f"{product.display_name}: {reason}", retryable=True)
    name, extension = make_safe_name(product.product_id), _detect_extension(file)
    return name if name.lower().endswith(extension) else name + extension


def _detect_extension(file: Path) -> str:
    """Return the extension that fits the content: archive files arrive under arbitrary names."""
    if zipfile.is_zipfile(file):
        return ".zip"
    if tarfile.is_tarfile(file):
        with file.open("rb") as content:
            return ".tar.gz" if content.read(2) == b"\x1f\x8b" else ".tar"
    return file.suffix.lower()
