"""A repository on loopback that takes deposits as InvenioRDM does: a record, its files, a commit of each."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

API_KEY = "loopback"


class Deposit:
    """What was deposited: the metadata of the record, and the content of each committed file."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.announced: set[str] = set()
        self.uploaded: dict[str, bytes] = {}
        self.committed: dict[str, bytes] = {}


@contextmanager
def serve_deposits():
    """Yield the URL of a repository and its only deposit."""
    deposit = Deposit()

    class Handler(BaseHTTPRequestHandler):
        """Answers the requests of one deposit; others get 404, those without the key 403."""

        def do_POST(self):
            parts = unquote(self.path).strip("/").split("/")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if parts == ["api", "records"]:
                deposit.metadata = json.loads(body)
                self.answer(201, {"id": "r1"})
            elif parts == ["api", "records", "r1", "draft", "files"]:
                deposit.announced = {item["key"] for item in json.loads(body)}
                self.answer(201, {})
            elif parts[:5] == ["api", "records", "r1", "draft", "files"] and parts[6:] == ["commit"]:
                deposit.committed[parts[5]] = deposit.uploaded[parts[5]]
                self.answer(200, {})
            else:
                self.answer(404, {})

        def do_PUT(self):
            parts = unquote(self.path).strip("/").split("/")
            deposit.uploaded[parts[5]] = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(200 if parts[5] in deposit.announced else 404, {})

        def answer(self, status, content):
            is_allowed = self.headers.get("Authorization") == f"Bearer {API_KEY}"
            body = json.dumps(content).encode()
            self.send_response(status if is_allowed else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", deposit
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
