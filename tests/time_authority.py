"""A time-stamping authority (RFC 3161) of `openssl ts`, for a file with a request or over HTTP on loopback."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

_CONFIG = """
[ tsa ]
default_tsa = main
[ main ]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
[ req ]
distinguished_name = name
[ name ]
[ ca ]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[ stamps ]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class TimeAuthority:
    """An authority with a root certificate in `root_file` (PEM).

    `faults` are statuses with which HTTP answers first; 0: it answers byte by byte, each after `delay` seconds.
    """

    delay = 0.05

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        (folder / "config").write_text(_CONFIG.format(folder=folder))
        self.root_file = folder / "root.pem"
        self.faults: list[int] = []
        new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        self._run(f"req -x509 {new_key} -keyout root.key -out root.pem -subj /CN=root -days 9 -extensions ca")
        self._run(f"req {new_key} -keyout tsa.key -out tsa.csr -subj /CN=stamps")
        self._run(
            "x509 -req -in tsa.csr -CA root.pem -CAkey root.key -CAcreateserial -out tsa.pem -days 9 -extfile config -extensions stamps",
            has_config=False,
        )

    def answer_request(self, request: Path, response: Path, *, has_chain: bool = False) -> Path:
        """Answer a request in a file by a response in a file; with the chain of certificates, or the own one only."""
        self._run(f"ts -reply -queryfile {request} -out {response}{' -chain root.pem' if has_chain else ''}")
        return response

    def _run(self, command: str, *, has_config: bool = True) -> None:
        words = ["openssl", *command.split(), *(["-config", "config"] if has_config else [])]
        subprocess.run(words, cwd=self._folder, check=True, capture_output=True)

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Answer over HTTP; yield the URL."""
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/timestamp-query"
                if authority.faults:
                    self.send_fault(authority.faults.pop(0))
                    return
                request, response = authority._folder / "http.tsq", authority._folder / "http.tsr"
                request.write_bytes(body)
                content = authority.answer_request(request, response).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def send_fault(self, status: int) -> None:
                if status:
                    self.send_error(status)
                    return
                self.send_response(200)
                self.end_headers()
                with suppress(OSError):
                    for _ in range(100):
                        self.wfile.write(b"0")
                        time.sleep(authority.delay)

            def log_message(self, *_: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}/"
            finally:
                server.shutdown()
                thread.join()
