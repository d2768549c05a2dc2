"""An HTTP server on loopback that answers requests for ranges, counts them, and knows entity tags."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class RangeServer:
    """Files by path, each with its content; `sent` is the number of bytes of each answer, by method and path."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    sent: list[tuple[str, str, int]] = field(default_factory=list)
    has_tags: bool = True
    statuses: dict[str, int] = field(default_factory=dict)
    """The status of each answer for a path, in place of the content."""

    def count_bytes(self) -> int:
        """Return the number of bytes that were sent."""
        return sum(size for _, _, size in self.sent)


def make_tag(content: bytes) -> str:
    """Return the entity tag of a content."""
    return f'"{hashlib.sha256(content).hexdigest()[:12]}"'


@contextmanager
def serve_ranges() -> Iterator[RangeServer]:
    """Serve files from memory until the block ends."""
    state = RangeServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            content = state.files.get(self.path)
            wanted = self.headers.get("If-Match")
            status = state.statuses.get(self.path, 404 if content is None else 200)
            if status == 200 and content is not None and wanted and wanted != make_tag(content):
                status = 412
            part, extra = b"", {}
            if status == 200 and content is not None:
                part = content
                if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                    start, end = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
                    status, part = 206, content[start : end + 1]
                    extra["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
                extra["Accept-Ranges"] = "bytes"
                if state.has_tags:
                    extra["ETag"] = make_tag(content)
            self.send_response(status)
            for name, value in {**extra, "Content-Length": str(len(part))}.items():
                self.send_header(name, value)
            self.end_headers()
            is_get = self.command == "GET"
            state.sent.append((self.command, self.path, len(part) if is_get else 0))
            if is_get:
                self.wfile.write(part)

        def log_message(self, format: str, *arguments: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
