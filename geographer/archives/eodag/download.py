"""Download one product with eodag in one attempt: files under the names that readers expect, and nothing else."""

import hashlib
import re
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from geographer.archives.base import BytesCallback, Product
from geographer.archives.eodag.client import EodagClient
from geographer.archives.eodag.products import ONLINE, EodagHandle
from geographer.archives.stac_assets import make_safe_name
from geographer.base.errors import OrderRequiredError, SourceError

_OFFLINE, _ORDERED, _MISSING = "orderable", "ordered", "Not Available"
_ORDER_PROPERTIES: Final = ("eodag:order_id", "eodag:status_link", "eodag:search_link", "eodag:download_link")
"""What eodag learns from the response to an order, and needs to ask for its state."""

_NO_RETRY: Final = {"wait": 1.0, "timeout": 0.0}
"""Minutes between eodag's retries and in all. It never retries here, but it rejects wait=0."""


class EodagProgress:
    """The progress callback that eodag expects: counts bytes over all parts of a product and draws nothing."""

    def __init__(self, on_progress: BytesCallback) -> None:
        self._on_progress, self._n_bytes, self._lock = on_progress, 0, threading.Lock()
        self.unit, self.unit_scale, self.desc, self.pos, self.total = "B", True, "", 0, None

    def __call__(self, increment: int, total: int | None = None) -> None:
        """Add `increment` bytes; other units, such as files, are ignored."""
        if self.unit == "B":
            with self._lock:
                self._n_bytes += increment
                n_bytes = self._n_bytes
            self._on_progress(n_bytes)

    def _ignore_call(self, *_args: Any, **_kwargs: Any) -> "EodagProgress":
        """The count continues over all assets, and there is no bar to draw."""
        return self

    reset = refresh = close = copy = _ignore_call


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


class ProductDownload:
    """One attempt to download a product with eodag."""

    def __init__(self, client: EodagClient, product: Product, on_progress: BytesCallback) -> None:
        self._client, self._product, self._progress = client, product, EodagProgress(on_progress)
        self._handle: EodagHandle = product.handle
        self._eodag_product = self._handle.eodag_product

    def write_files(self, folder: Path) -> None:
        """Write the files into `folder`, see `Source.fetch`: assets one by one, so no thread writes after an error."""
        work_folder = folder / ".eodag"  # eodag's temporary files
        work_folder.mkdir(parents=True)
        try:
            with self._translate_errors(), self._client.lock:
                self._client.dag._setup_downloader(self._eodag_product)
            self._resume_order()
            if self._handle.file_names:
                self._require_online()
            elif self._eodag_product.remote_location in {"", "Not Available"}:
                reason = "has no download link. Exclude it, or choose another collection."
                raise SourceError(f"{self._product.display_name} {reason}")
            for index, (asset, name) in enumerate(self._handle.file_names.items() or [(None, "")]):
                part_folder = work_folder / str(index)
                files = self._download_files(part_folder, asset)
                if asset is None and len(files) == 1:
                    name = _name_whole_product(self._product, files[0])
                for file in files:  # An only file gets the name; several keep theirs below it.
                    target = folder / name / (file.relative_to(part_folder) if len(files) > 1 else "")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    file.rename(target)
        finally:
            stream = getattr(self._eodag_product, "_stream", None)
            if stream is not None:
                stream.close()  # eodag leaves the connection open after an error.
            shutil.rmtree(work_folder, ignore_errors=True)

    def _download_files(self, folder: Path, asset: str | None) -> list[Path]:
        """Download one asset, or with None the whole product, into the new `folder` and return its files."""
        eodag_product = self._eodag_product
        eodag_product.location = eodag_product.remote_location
        folder.mkdir()
        self._progress.unit = "B"
        if asset is not None:
            # A preset name prevents eodag from using one that the archive sends, which may point outside the folder.
            eodag_product.assets[asset].filename = "asset"
            # A preset size prevents up to two requests that eodag makes only for its progress bar.
            eodag_product.assets[asset].data.setdefault("file:size", 0)
        with self._translate_errors():
            self._serialise_logins()
            names = {} if asset is None else {"asset": re.escape(asset)}
            options = {"progress_callback": self._progress, "executor": _InlineExecutor(), "output_dir": str(folder)}
            self._client.dag.download(eodag_product, extract=False, **options, **_NO_RETRY, **names)
        files = sorted(path for path in folder.rglob("*") if path.is_file() and ".downloaded" not in path.parts)
        if not files:
            raise SourceError(f"{self._product.display_name}: no file arrived", retryable=True)
        return files

    def _resume_order(self) -> None:
        """Let eodag ask for the state of an order that was placed before, instead of ordering again."""
        properties, order = self._eodag_product.properties, self._product.order
        properties.pop("eodag:order_status", None)
        properties["order:status"] = self._handle.status
        if order is not None and self._handle.status != ONLINE:
            properties.update(order, **{"order:status": _ORDERED})
            if "eodag:download_link" in order:
                self._eodag_product.remote_location = order["eodag:download_link"]

    def _require_online(self) -> None:
        """Order an offline product that is delivered as assets; eodag itself orders products delivered as a whole."""
        downloader, login = self._eodag_product.downloader, self._eodag_product.downloader_auth
        can_order = getattr(downloader.config, "order_enabled", False) and hasattr(downloader, "order")
        if not self._is_online() and can_order:
            with self._translate_errors():
                downloader.order(self._eodag_product, login and login.authenticate(), **_NO_RETRY)
        if not self._is_online():
            raise self._make_order_error()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        from eodag.utils.exceptions import NotAvailableError

        with self._client.translate_errors(self._product.display_name):
            try:
                yield
            except Exception as error:
                stream = getattr(self._eodag_product, "_stream", None)
                is_accepted = getattr(stream, "status_code", None) == HTTPStatus.ACCEPTED
                is_unavailable = isinstance(error, NotAvailableError)
                is_pending = is_accepted and (is_unavailable or not self._handle.file_names)
                if is_pending or (is_unavailable and not self._is_online()):
                    raise self._make_order_error() from None
                raise

    def _serialise_logins(self) -> None:
        """Let one thread at a time log in, because eodag's plugins store their token on themselves."""
        login = self._eodag_product.downloader_auth
        if login is None or "authenticate" in vars(login):
            return
        authenticate = login.authenticate

        def authenticate_locked() -> Any:
            with self._client.lock:
                return authenticate()

        login.authenticate = authenticate_locked

    def _is_online(self) -> bool:
        return bool(self._eodag_product.properties.get("order:status", ONLINE) == ONLINE)

    def _make_order_error(self) -> OrderRequiredError:
        properties, name = self._eodag_product.properties, self._product.display_name
        if properties.get("order:status") == _OFFLINE:
            advice = "Order it there, and run the command again later."
            return OrderRequiredError(f"{name} is offline, and eodag cannot order it. {advice}", is_ordered=False)
        order = {key: properties[key] for key in _ORDER_PROPERTIES if properties.get(key) not in {None, _MISSING}}
        order_id = f" (order {order['eodag:order_id']})" if "eodag:order_id" in order else ""
        state = "was ordered" if self._product.order is None else "is ordered"
        reason = f"{state}{order_id}: it is offline, and the archive restores it. Run the command again in a few hours."
        return OrderRequiredError(f"{name} {reason}", order=order)


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
    if zipfile.is_zipfile(file):
        return ".zip"
    if tarfile.is_tarfile(file):
        with file.open("rb") as content:
            return ".tar.gz" if content.read(2) == b"\x1f\x8b" else ".tar"
    return file.suffix.lower()
