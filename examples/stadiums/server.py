"""A STAC API over an archive, on this machine only: `rustac serve` for the items, an HTTP server for their files."""

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
_PATIENCE: Final = 30.0
_TRIES: Final = 3


class _Files(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, in silence."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *told: Any) -> None:
        """Say nothing: what is asked for is no news."""


class _FileServer(http.server.ThreadingHTTPServer):
    """Hands out files; a client that goes away in the middle is no trouble."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of everything but connections that the client broke off."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(archive: Path) -> Iterator[str]:
    """Serve what `archive.make` wrote into a folder; the context's value is the URL of the STAC API.

    Both servers listen on the loopback address only, on ports that are free, and are stopped at the context's end.

    Raises:
        FileNotFoundError: `rustac` is not installed, or the folder holds no items.
        RuntimeError: `rustac` did not come up.
    """
    with _files(archive) as base, tempfile.TemporaryDirectory() as aside:
        items = json.loads((archive / "items.json").read_text(encoding="utf-8"))
        for item in items["features"]:
            for asset in item["assets"].values():
                asset["href"] = f"{base}/{asset['href']}"
        listed = Path(aside) / "items.json"
        listed.write_text(json.dumps(items), encoding="utf-8")
        with _api(archive / "collection.json", listed) as url:
            yield url


@contextmanager
def _files(folder: Path) -> Iterator[str]:
    handler = partial(_Files, directory=str(folder))
    with _FileServer((HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _api(*files: Path) -> Iterator[str]:
    for _ in range(_TRIES):
        port = _free_port()
        process = subprocess.Popen(
            [_rustac(), "serve", "--addr", f"{HOST}:{port}", *map(str, files)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if _answers(f"http://{HOST}:{port}", process):
                yield f"http://{HOST}:{port}"
                return
        finally:
            process.terminate()
            process.wait()
    raise RuntimeError("rustac serve did not come up")


def _rustac() -> str:
    beside = Path(sys.executable).parent / "rustac"
    found = str(beside) if beside.exists() else shutil.which("rustac")
    if found is None:
        raise FileNotFoundError("rustac is missing: pip install rustac")
    return found


def _free_port() -> int:
    """A port that was free just now; should another take it first, `rustac` ends, and the next one is tried."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether the process answers at `url` before it ends, and before patience does."""
    until = time.monotonic() + _PATIENCE
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None and time.monotonic() < until:
        try:
            with direct.open(url, timeout=5):
                return True
        except OSError:
            time.sleep(0.05)
    return False


def main() -> None:
    """Make the archive in the folder that is named, serve it, and say where, until interrupted."""
    import archive
    import outlines

    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python server.py ARCHIVE")
    # Ended by SIGTERM as by Ctrl-C: what it started ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    folder = Path(sys.argv[1])
    if not (folder / "items.json").exists():
        archive.make(folder, [*outlines.stadiums(outlines.FIRST), *outlines.stadiums(outlines.MORE)])
    with serving(folder) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
