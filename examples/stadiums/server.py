"""Serve an archive as a STAC API on loopback: `rustac serve` for the items, an HTTP server for their files."""

from __future__ import annotations

import http.server
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

HOST: Final = "127.0.0.1"
_TIMEOUT_S: Final = 30.0
_MAX_ATTEMPTS: Final = 3


class _QuietFileHandler(http.server.SimpleHTTPRequestHandler):
    """Serves the files of a folder without logging."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


class _FileServer(http.server.ThreadingHTTPServer):
    """A file server that ignores clients that disconnect."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report errors other than closed connections."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serve_archive(archive: Path) -> Iterator[str]:
    """Serve the archive that `archive.make_archive` wrote into a folder, and yield the URL of the STAC API.

    Both servers listen on free ports of the loopback address only, and stop when the context ends.

    Raises:
        FileNotFoundError: `rustac` is not installed, or the folder has no items.
        RuntimeError: `rustac` did not start.
    """
    with _serve_files(archive) as base_url, tempfile.TemporaryDirectory() as temporary_folder:
        items = json.loads((archive / "items.json").read_text(encoding="utf-8"))
        for item in items["features"]:
            for asset in item["assets"].values():
                asset["href"] = f"{base_url}/{asset['href']}"
        items_file = Path(temporary_folder) / "items.json"
        items_file.write_text(json.dumps(items), encoding="utf-8")
        with _serve_api(archive / "collection.json", items_file) as url:
            yield url


@contextmanager
def _serve_files(folder: Path) -> Iterator[str]:
    handler = partial(_QuietFileHandler, directory=str(folder))
    with _FileServer((HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _serve_api(*files: Path) -> Iterator[str]:
    for _ in range(_MAX_ATTEMPTS):
        port = _find_free_port()
        process = subprocess.Popen(
            [_find_rustac(), "serve", "--addr", f"{HOST}:{port}", *map(str, files)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if _wait_until_ready(f"http://{HOST}:{port}", process):
                yield f"http://{HOST}:{port}"
                return
        finally:
            process.terminate()
            process.wait()
    raise RuntimeError("rustac serve did not start")


def _find_rustac() -> str:
    script_path = Path(sys.executable).parent / "rustac"
    path = str(script_path) if script_path.exists() else shutil.which("rustac")
    if path is None:
        raise FileNotFoundError("rustac is not installed. Run: pip install rustac")
    return path


def _find_free_port() -> int:
    """Return a free port. If another process takes it first, `rustac` exits and `_serve_api` tries another port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Return whether the process answers at `url` before it exits and before the timeout."""
    deadline = time.monotonic() + _TIMEOUT_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with opener.open(url, timeout=5):
                return True
        except OSError:
            time.sleep(0.05)
    return False


def main() -> None:
    """Create the archive in the given folder if it is missing, serve it until interrupted, and print its URL."""
    import archive
    import outlines

    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python server.py ARCHIVE")
    # Treat SIGTERM like Ctrl-C, so that the servers stop, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    folder = Path(sys.argv[1])
    if not (folder / "items.json").exists():
        archive.make_archive(folder, [*outlines.read_stadiums(outlines.FIRST), *outlines.read_stadiums(outlines.MORE)])
    with serve_archive(folder) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
