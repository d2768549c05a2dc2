"""The web server of the viewer: who may ask, what its answers carry, how it ends."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from geographer.base.errors import MissingLibraryError, StorageError
from geographer.viewer import access, libraries
from geographer.viewer.server import ViewerServer
from geographer.viewer.session import ViewerSession
from tests.viewer.conftest import serve_session


@pytest.fixture(scope="module")
def server(world_session: ViewerSession) -> Iterator[ViewerServer]:
    with serve_session(world_session) as server:
        yield server


def request(
    server: ViewerServer, path: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def test_page_and_its_files(server: ViewerServer) -> None:
    for name, kind in (
        ("", "text/html"),
        ("main.js", "text/javascript"),
        ("maplibre-gl.js", "text/javascript"),
        ("view.css", "text/css"),
    ):
        response, content = request(server, f"/{server.token}/{name}")
        assert (response.status, response.headers.get_content_type()) == (200, kind)
        assert len(content) > 200
        for header, value in access.HEADERS.items():
            assert response.headers[header] == value
    response, _ = request(server, f"/{server.token}")
    assert (response.status, response.headers["Location"]) == (302, f"/{server.token}/")


@pytest.mark.parametrize("path", ["/", "/x/", "/api/dataset", "/{}x/", "/{}%00/", "//{}/", "/%C3%A9/"])
def test_wrong_token(server: ViewerServer, path: str) -> None:
    response, content = request(server, path.format(server.token))
    assert (response.status, "token" in json.loads(content)["error"]) == (403, True)
    assert server.token.encode() not in content


def test_token_has_128_bits() -> None:
    tokens = {access.make_token() for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {22}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil:{port}", ""]
)
def test_request_by_another_name(server: ViewerServer, host: str) -> None:
    response, _ = request(server, f"/{server.token}/", Host=host.format(port=server.port))
    assert response.status in (400, 403)
    assert request(server, f"/{server.token}/", Host=f"LOCALHOST:{server.port}")[0].status == 200


def test_request_of_another_page(server: ViewerServer) -> None:
    address = f"/{server.token}/"
    assert request(server, address, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0].status == 403
    assert request(server, address, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
def test_only_get(server: ViewerServer, method: str) -> None:
    response, _ = request(server, f"/{server.token}/api/dataset", method)
    assert (response.status, response.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "path", ["../server.py", "%2e%2e/server.py", "..%2f..%2fetc%2fpasswd", "static/main.js", "%00", "api/../../x"]
)
def test_path_leads_nowhere(server: ViewerServer, path: str) -> None:
    response, content = request(server, f"/{server.token}/{path}")
    assert response.status == 404
    assert json.loads(content)["error"]


def test_only_loopback_listens(server: ViewerServer) -> None:
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", server.port))
    assert server.page_address.startswith("http://127.0.0.1:")


def test_port_in_use(server: ViewerServer, world_session: ViewerSession) -> None:
    with pytest.raises(StorageError, match=f"cannot listen on port {server.port}"):
        ViewerServer(world_session, server.port)


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'geographer-datasets\[view\]'"):
        libraries.require_libraries()


def test_interrupt_ends_the_command(world_root: Path) -> None:
    command = [sys.executable, "-m", "geographer", "-C", str(world_root), "view", "--no-open", "--at", "@2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        port, token = address.removeprefix("http://127.0.0.1:").split("/")[:2]
        connection = http.client.HTTPConnection("127.0.0.1", int(port))
        connection.request("GET", f"/{token}/api/dataset")
        assert json.loads(connection.getresponse().read())["start"] == 2
        connection.close()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "")
    assert errors.startswith("Showing @2 of")
    assert "Traceback" not in errors
