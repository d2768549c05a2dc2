"""Archives on loopback: a real STAC server with items of one's own, and one that gives the trouble it is told to give."""

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

from geographer.archives.base import Product, SearchQuery, Source
from geographer.archives.search import all_pages
from geographer.base.retry import RetryPolicy

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        return int(one.getsockname()[1])


def multihash(content: bytes) -> str:
    """The SHA-256 of `content` as STAC's file extension writes it."""
    return "1220" + hashlib.sha256(content).hexdigest()


def stac_item(
    item_id: str,
    box: tuple[float, float, float, float],
    assets: Mapping[str, Mapping[str, Any]],
    *,
    collection: str = "scenes",
    when: str = "2023-06-01T10:00:00Z",
    cloud: float = 0.0,
    **properties: Any,
) -> dict[str, Any]:
    """A STAC item whose footprint is a box in longitude/latitude; further properties take '__' for ':'."""
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
            "datetime": when,
            "eo:cloud_cover": cloud,
            **{name.replace("__", ":"): value for name, value in properties.items()},
        },
        "links": [],
        "assets": {name: dict(asset) for name, asset in assets.items()},
    }


def asset_of(href: str, content: bytes, **fields: Any) -> dict[str, Any]:
    """A STAC asset with its size and checksum."""
    return {"href": href, "file:size": len(content), "file:checksum": multihash(content), "roles": ["data"], **fields}


def search_all(source: Source, query: SearchQuery, patience: RetryPolicy | None = None) -> list[Product]:
    """Every product that a search finds, each once."""
    found = [product for page in all_pages(source, query, patience) for product in page]
    return list({(one.provider, one.collection, one.product_id): one for one in found}.values())


@contextmanager
def file_server(folder: Path) -> Iterator[str]:
    """Serves the files of a folder over HTTP; gives the URL, without a '/' at its end."""
    with _serving(partial(_QuietFiles, directory=str(folder))) as url:
        yield url


@contextmanager
def stac_server(items: list[dict[str, Any]], folder: Path) -> Iterator[str]:
    """A `rustac serve` with these items, which are written to `folder` for it; gives the URL of the API."""
    source = folder / "items.json"
    source.write_text(json.dumps({"type": "FeatureCollection", "features": items}), encoding="utf-8")
    command = shutil.which("rustac", path=str(Path(sys.executable).parent)) or shutil.which("rustac")
    assert command, "install the test extra: rustac is not there"
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    process = subprocess.Popen(
        [command, "serve", str(source), "--addr", f"{LOOPBACK}:{port}", "--create-collections"],
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
        assert process.poll() is None, "rustac serve ended by itself"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.025)
    raise AssertionError("rustac serve does not answer")


@dataclass
class Fault:
    """What a `FaultyArchive` does instead of answering: a status, with headers and a body; or less than that.

    Attributes:
        status: The HTTP status; None: no answer at all, the connection is cut.
        headers: Further headers.
        body: What is sent in place of the answer; None: an empty body for a status of its own, else the real one.
        only: Bytes of the body after which the connection is cut; the announced length is the whole.
        pause: Seconds before the answer begins.
        drip: Seconds between the 64 pieces that the body is sent in.
        reset: The connection is reset, not closed.
    """

    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    only: int | None = None
    pause: float = 0.0
    drip: float = 0.0
    reset: bool = False


@dataclass
class Asked:
    """A request that an archive got."""

    method: str
    path: str
    body: Any
    headers: Mapping[str, str]


class FaultyArchive:
    """A small STAC API and asset server that keeps a log of requests and gives scripted trouble.

    `url` is the API, `files` what it hands out by path (bytes, or what makes them of a query), `fail(path, fault, …)` the trouble: each fault is given once, in
    turn, to requests whose path (or `page=n` of a search) it names; `always` gives it for ever.
    """

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.files: dict[str, bytes | Callable[[dict[str, str]], bytes]] = {}
        self.log: list[Asked] = []
        self.matched: int | None = None
        self.page_by: str = "token"
        self.next_token: Callable[[int], str] = str
        self.most: int = 10_000
        self._faults: dict[str, list[Fault]] = {}
        self._lasting: dict[str, Fault] = {}
        self._lock = threading.Lock()
        self.url = ""

    def href(self, path: str) -> str:
        """Where a file is served."""
        return f"{self.url}/files/{path}"

    def add(
        self, item_id: str, box: tuple[float, float, float, float], files: Mapping[str, bytes], **properties: Any
    ) -> None:
        """An item with an asset for every file, called as the file without its extension."""
        assets = {}
        for name, content in files.items():
            path = f"{item_id}/{name}"
            self.files[path] = content
            assets[name.partition(".")[0]] = asset_of(self.href(path), content)
        self.items.append(stac_item(item_id, box, assets, **properties))

    def fail(self, where: str, *faults: Fault) -> None:
        """Give these faults, each once, to the next requests for `where`."""
        with self._lock:
            self._faults.setdefault(where, []).extend(faults)

    def always(self, where: str, fault: Fault | None) -> None:
        """Give this fault to every request for `where`; None: to none any more."""
        with self._lock:
            if fault is None:
                self._lasting.pop(where, None)
            else:
                self._lasting[where] = fault

    def fault_for(self, *places: str) -> Fault | None:
        """The fault whose turn it is."""
        with self._lock:
            for place in places:
                if self._faults.get(place):
                    return self._faults[place].pop(0)
                if place in self._lasting:
                    return self._lasting[place]
        return None

    def asked_for(self, path: str, method: str = "GET") -> int:
        """How often `path` was asked for."""
        return sum(one.path == path and one.method == method for one in list(self.log))

    def searches(self) -> list[Any]:
        """The bodies of all searches."""
        return [one.body for one in list(self.log) if one.path == "/search"]

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The number of a search's page, and the page."""
        limit = min(int(body.get("limit", 10)), self.most)
        start = self._start(body.get(self.page_by), limit)
        found = [item for item in self.items if self._meets(item, body)]
        page = found[start : start + limit]
        number = start // limit + 1
        links = []
        if start + limit < len(found):
            token = self.next_token(number + 1)
            links = [
                {"rel": "next", "href": f"{self.url}/search", "method": "POST", "body": {**body, self.page_by: token}}
            ]
        answer: dict[str, Any] = {
            "type": "FeatureCollection",
            "features": page,
            "links": links,
            "numberReturned": len(page),
        }
        if self.matched is not None:
            answer["numberMatched"] = self.matched
        return number, answer

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
def faulty_archive() -> Iterator[FaultyArchive]:
    """A `FaultyArchive` that is being served."""
    archive = FaultyArchive()
    with _serving(partial(_Faulty, archive)) as url:
        archive.url = url
        yield archive


@contextmanager
def ftp_server(folder: Path, missing: int = 0) -> Iterator[str]:
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

    def announce(self: Any, path: str) -> None:
        there = Path(path).is_file()
        self.respond(f"213 {Path(path).stat().st_size + missing}" if there else "550 No such file.")

    quiet: dict[str, Any] = {"authorizer": authorizer, "log": lambda *_args, **_more: None, "ftp_SIZE": announce}
    handler = type("Handler", (FTPHandler,), quiet)
    server = FTPServer((LOOPBACK, 0), handler)
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            server.serve_forever(timeout=0.02, blocking=False, handle_exit=False)
        server.close_all()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"ftp://{LOOPBACK}:{server.socket.getsockname()[1]}"
    finally:
        ending.set()
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
        """Nothing on stderr."""


class _Faulty(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, archive: FaultyArchive, *args: Any) -> None:
        self.archive = archive
        super().__init__(*args)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""

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
        self.archive.log.append(Asked(self.command, self.path, body, dict(self.headers)))
        status, content, places = self._content(path, body)
        fault = self.archive.fault_for(*(places if self.command != "HEAD" else ()))
        self._send(status, content, fault)

    def _content(self, path: str, body: Any) -> tuple[int, bytes, tuple[str, ...]]:
        archive = self.archive
        if path == "/search":
            number, page = archive.answer(body or {})
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
            listed = [{"id": name, "type": "Collection", "license": "CC-BY-4.0"} for name in collections]
            return 200, json.dumps({"collections": listed, "links": []}).encode(), (path,)
        if path.startswith("/collections/"):
            name = path.removeprefix("/collections/")
            known = {"id": name, "type": "Collection", "license": "CC-BY-4.0"}
            return (200, json.dumps(known).encode(), (path,)) if name in collections else (404, b"", (path,))
        return 404, b"", (path,)

    def _send(self, status: int, content: bytes, fault: Fault | None) -> None:
        if fault is not None:
            time.sleep(fault.pause)
            if fault.status is None or fault.reset:
                self._cut(fault.reset)
                return
            status = fault.status
            content = fault.body if fault.body is not None else content if status == 200 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        given = dict(fault.headers) if fault is not None else {}
        given.setdefault("Content-Type", "application/json" if content[:1] == b"{" else "application/octet-stream")
        for name, value in given.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.only is not None:
            self.wfile.write(content[: fault.only])
            self.wfile.flush()
            self._cut(False)
            return
        piece = len(content) // 64 + 1 if fault is not None and fault.drip else len(content) or 1
        for start in range(0, len(content), piece):
            self.wfile.write(content[start : start + piece])
            if fault is not None and fault.drip:
                self.wfile.flush()
                time.sleep(fault.drip)

    def _cut(self, reset: bool) -> None:
        """End the connection: closed in good order, or reset."""
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.close_connection = True
        self.connection.close()
