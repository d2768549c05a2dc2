"""Archives on loopback: a real STAC server for given items, and a fake one with scripted faults."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlparse

from geographer.archives.base import Product, SearchQuery, Source, search_all_pages
from geographer.base.retry import RetryPolicy

LOOPBACK = "127.0.0.1"


def find_free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as entry:
        entry.bind((LOOPBACK, 0))
        return int(entry.getsockname()[1])


def make_multihash(content: bytes) -> str:
    """Return the SHA-256 of `content` as a multihash, as in STAC's file extension."""
    return "1220" + hashlib.sha256(content).hexdigest()


def make_stac_item(
    item_id: str,
    box: tuple[float, float, float, float],
    assets: Mapping[str, Mapping[str, Any]],
    *,
    collection: str = "scenes",
    acquired: str = "2023-06-01T10:00:00Z",
    cloud_cover: float = 0.0,
    **properties: Any,
) -> dict[str, Any]:
    """Return a STAC item with a longitude/latitude box as its footprint; property names use '__' for ':'."""
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": item_id,
        "collection": collection,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": acquired,
            "eo:cloud_cover": cloud_cover,
            **{name.replace("__", ":"): value for name, value in properties.items()},
        },
        "links": [],
        "assets": {name: dict(asset) for name, asset in assets.items()},
    }


def make_asset(href: str, content: bytes, **fields: Any) -> dict[str, Any]:
    """Return a STAC asset with size and checksum."""
    return {
        "href": href,
        "file:size": len(content),
        "file:checksum": make_multihash(content),
        "roles": ["data"],
        **fields,
    }


def search_products(items_file: Source, query: SearchQuery, retry_policy: RetryPolicy | None = None) -> list[Product]:
    """Return every product of a search without duplicates."""
    matching = [product for page in search_all_pages(items_file, query, retry_policy) for product in page]
    return list({(entry.provider, entry.collection, entry.product_id): entry for entry in matching}.values())


@contextmanager
def serve_files(folder: Path) -> Iterator[str]:
    """Serve the files of a folder over HTTP; yield the URL without a trailing '/'."""
    with _serving(partial(_QuietFiles, directory=str(folder))) as url:
        yield url


@contextmanager
def serve_stac(items: list[dict[str, Any]], folder: Path) -> Iterator[str]:
    """Run `rustac serve` for these items, which are written to `folder`; yield the URL of the API."""
    items_file = folder / "items.json"
    items_file.write_text(json.dumps({"type": "FeatureCollection", "features": items}), encoding="utf-8")
    command = shutil.which("rustac", path=str(Path(sys.executable).parent)) or shutil.which("rustac")
    assert command, "rustac is not installed: install the test extra"
    port = find_free_port()
    url = f"http://{LOOPBACK}:{port}"
    process = subprocess.Popen(
        [command, "serve", str(items_file), "--addr", f"{LOOPBACK}:{port}", "--create-collections"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        assert process.poll() is None, "rustac serve exited"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.025)
    raise AssertionError("rustac serve does not answer")


@dataclass
class Fault:
    """A faulty response of a `FaultyArchive`.

    Attributes:
        status: The HTTP status; None: no response, the connection is closed.
        headers: Further headers.
        body: The body to send; None: the real one for status 200, else an empty one.
        max_bytes: Close the connection after so many bytes of the body; the announced length is the full one.
        delay: Seconds before the response begins.
        piece_delay: Seconds between the 64 pieces of the body.
        is_reset: Reset the connection instead of closing it.
    """

    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    max_bytes: int | None = None
    delay: float = 0.0
    piece_delay: float = 0.0
    is_reset: bool = False


@dataclass
class ReceivedRequest:
    """A request that an archive received."""

    method: str
    path: str
    body: Any
    headers: Mapping[str, str]


class FaultyArchive:
    """A small STAC API and asset server that records requests and returns scripted faults.

    Attributes:
        items: The STAC items.
        files: Contents by path: bytes, or a function of the query parameters.
        requests: All requests received.
        number_matched: The total that search results state; None: not stated.
        page_key: Parameter of the next page.
        format_token: Returns the token of a page number.
        max_page_size: Maximum number of items per page.
        collection_fields: Further fields of every collection.
        url: URL of the API.
    """

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.files: dict[str, bytes | Callable[[dict[str, str]], bytes]] = {}
        self.requests: list[ReceivedRequest] = []
        self.number_matched: int | None = None
        self.page_key: str = "token"
        self.format_token: Callable[[int], str] = str
        self.max_page_size: int = 10_000
        self.collection_fields: dict[str, Any] = {}
        self._faults: dict[str, list[Fault]] = {}
        self._lasting_faults: dict[str, Fault] = {}
        self._lock = threading.Lock()
        self.url = ""

    def make_url(self, path: str) -> str:
        """Return the URL of a file."""
        return f"{self.url}/files/{path}"

    def add_item(
        self, item_id: str, box: tuple[float, float, float, float], files: Mapping[str, bytes], **properties: Any
    ) -> None:
        """Add an item with one asset per file, named after the file without its extension."""
        assets = {}
        for name, content in files.items():
            path = f"{item_id}/{name}"
            self.files[path] = content
            assets[name.partition(".")[0]] = make_asset(self.make_url(path), content)
        self.items.append(make_stac_item(item_id, box, assets, **properties))

    def add_faults(self, key: str, *faults: Fault) -> None:
        """Return these faults in turn, each once, for requests of a path or `page=n` of a search."""
        with self._lock:
            self._faults.setdefault(key, []).extend(faults)

    def set_fault(self, key: str, fault: Fault | None) -> None:
        """Return this fault for every request of a path or page; None: stop."""
        with self._lock:
            if fault is None:
                self._lasting_faults.pop(key, None)
            else:
                self._lasting_faults[key] = fault

    def pop_fault(self, *fault_keys: str) -> Fault | None:
        """Return the next fault for the first of these keys that has one."""
        with self._lock:
            for key in fault_keys:
                if self._faults.get(key):
                    return self._faults[key].pop(0)
                if key in self._lasting_faults:
                    return self._lasting_faults[key]
        return None

    def count_requests(self, path: str, method: str = "GET") -> int:
        """Return how many requests for `path` were received."""
        return sum(entry.path == path and entry.method == method for entry in list(self.requests))

    def list_search_bodies(self) -> list[Any]:
        """Return the bodies of all searches."""
        return [entry.body for entry in list(self.requests) if entry.path == "/search"]

    def make_page(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the page number of a search request, and the page."""
        limit = min(int(body.get("limit", 10)), self.max_page_size)
        start = self._start(body.get(self.page_key), limit)
        matching = [item for item in self.items if self._meets(item, body)]
        features = matching[start : start + limit]
        number = start // limit + 1
        links = []
        if start + limit < len(matching):
            token = self.format_token(number + 1)
            links = [
                {"rel": "next", "href": f"{self.url}/search", "method": "POST", "body": {**body, self.page_key: token}}
            ]
        page: dict[str, Any] = {
            "type": "FeatureCollection",
            "features": features,
            "links": links,
            "numberReturned": len(features),
        }
        if self.number_matched is not None:
            page["numberMatched"] = self.number_matched
        return number, page

    def _start(self, token: Any, limit: int) -> int:
        return 0 if token is None else (int(str(token).rpartition("-")[2]) - 1) * limit

    def _meets(self, item: dict[str, Any], body: dict[str, Any]) -> bool:
        collections = body.get("collections")
        if collections and item["collection"] not in collections:
            return False
        area = body.get("intersects")
        if area:
            xs, ys = zip(*area["coordinates"][0], strict=True)
            west, south, east, north = item.get("bbox", [-180, -90, 180, 90])
            if min(xs) > east or max(xs) < west or min(ys) > north or max(ys) < south:
                return False
        start, _, end = str(body.get("datetime", "../..")).partition("/")
        moment = item["properties"]["datetime"]
        return (start == ".." or start[:19] <= moment[:19]) and (end == ".." or moment[:19] <= end[:19])


@contextmanager
def serve_faulty_archive() -> Iterator[FaultyArchive]:
    """Serve a `FaultyArchive` on loopback."""
    archive = FaultyArchive()
    with _serving(partial(_Faulty, archive)) as url:
        archive.url = url
        yield archive


@contextmanager
def serve_ftp(folder: Path, n_missing_bytes: int = 0) -> Iterator[str]:
    """Serves the files of a folder over FTP to anyone; gives the URL, without a '/' at its end.

    With `missing`, it announces so many bytes more than it sends.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of asyncore, which it brings along where Python has none
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import FTPHandler
        from pyftpdlib.servers import FTPServer

    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(str(folder))

    def announce_size(self: Any, path: str) -> None:
        exists = Path(path).is_file()
        self.respond(f"213 {Path(path).stat().st_size + n_missing_bytes}" if exists else "550 No such file.")

    quiet: dict[str, Any] = {"authorizer": authorizer, "log": lambda *_args, **_kwargs: None, "ftp_SIZE": announce_size}
    handler = type("Handler", (FTPHandler,), quiet)
    server = FTPServer((LOOPBACK, 0), handler)
    stop_event = threading.Event()

    def run_server() -> None:
        while not stop_event.is_set():
            server.serve_forever(timeout=0.02, blocking=False, handle_exit=False)
        server.close_all()

    thread = threading.Thread(target=run_server, daemon=True)
    thread.start()
    try:
        yield f"ftp://{LOOPBACK}:{server.socket.getsockname()[1]}"
    finally:
        stop_event.set()
        thread.join(5)


@contextmanager
def _serving(handler: Any) -> Iterator[str]:
    server = ThreadingHTTPServer((LOOPBACK, 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_args: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class _Faulty(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, archive: FaultyArchive, *args: Any) -> None:
        self.archive = archive
        super().__init__(*args)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        raw = self.rfile.read(length)
        body = json.loads(raw) if raw else None
        path = self.path.partition("?")[0]
        self.archive.requests.append(ReceivedRequest(self.command, self.path, body, dict(self.headers)))
        status, content, fault_keys = self._content(path, body)
        fault = self.archive.pop_fault(*(fault_keys if self.command != "HEAD" else ()))
        self._send(status, content, fault)

    def _content(self, path: str, body: Any) -> tuple[int, bytes, tuple[str, ...]]:
        archive = self.archive
        if path == "/search":
            number, page = archive.make_page(body or {})
            return 200, json.dumps(page).encode(), (f"page={number}", path)
        if path.startswith("/files/"):
            content = archive.files.get(path.removeprefix("/files/"))
            content = content(dict(parse_qsl(urlparse(self.path).query))) if callable(content) else content
            return (
                (404, b"", (path.removeprefix("/files/"), path))
                if content is None
                else (200, content, (path.removeprefix("/files/"), path))
            )
        collections = sorted({item["collection"] for item in archive.items})
        if path == "/collections":
            collection_list = [{"id": name, "type": "Collection", "license": "CC-BY-4.0"} for name in collections]
            return 200, json.dumps({"collections": collection_list, "links": []}).encode(), (path,)
        if path.startswith("/collections/"):
            name = path.removeprefix("/collections/")
            collection_info = {**archive.collection_fields, "id": name, "type": "Collection", "license": "CC-BY-4.0"}
            return (200, json.dumps(collection_info).encode(), (path,)) if name in collections else (404, b"", (path,))
        return 404, b"", (path,)

    def _send(self, status: int, content: bytes, fault: Fault | None) -> None:
        if fault is not None:
            time.sleep(fault.delay)
            if fault.status is None or fault.is_reset:
                self._cut(fault.is_reset)
                return
            status = fault.status
            content = fault.body if fault.body is not None else content if status == 200 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        headers = dict(fault.headers) if fault is not None else {}
        headers.setdefault("Content-Type", "application/json" if content[:1] == b"{" else "application/octet-stream")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.max_bytes is not None:
            self.wfile.write(content[: fault.max_bytes])
            self.wfile.flush()
            self._cut(False)
            return
        piece = len(content) // 64 + 1 if fault is not None and fault.piece_delay else len(content) or 1
        for start in range(0, len(content), piece):
            self.wfile.write(content[start : start + piece])
            if fault is not None and fault.piece_delay:
                self.wfile.flush()
                time.sleep(fault.piece_delay)

    def _cut(self, reset: bool) -> None:
        """Close or reset the connection."""
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.close_connection = True
        self.connection.close()
