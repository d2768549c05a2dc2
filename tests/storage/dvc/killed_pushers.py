"""Kill pushers in the middle of a step. Run as a script, with a JSON object of workspaces by type of kill.

Each pusher is a fork of this process, which ends itself by SIGKILL just before, or after, the request named in `KILLS`.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geographer.storage.dvc import folder_files, webdav_files
from geographer.storage.dvc.remote import open_remote


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_before(function: Callable[..., Any], is_last: Callable[..., bool]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run_or_kill(*arguments: Any, **options: Any) -> Any:
        if is_last(*arguments, **options):
            kill_itself()
        return function(*arguments, **options)

    return run_or_kill


def kill_folder_before_link() -> None:
    os.link = kill_before(os.link, lambda *_: True)


def kill_folder_after_claim() -> None:
    def refuse_links(*_: object) -> None:
        raise PermissionError(1, "no links here")

    os.link = refuse_links  # type: ignore[assignment]
    folder_files._write_synced = kill_before(folder_files._write_synced, lambda _path, _content, mode: mode == "r+b")


def kill_ssh_before_link() -> None:
    from asyncssh.sftp import SFTPClient

    SFTPClient.link = kill_before(SFTPClient.link, lambda *_: True)  # type: ignore[method-assign]


def kill_webdav_with_lock() -> None:
    import httpx

    webdav_files.LOCK_SECONDS = 1  # type: ignore[misc]
    httpx.Client.request = kill_before(  # type: ignore[method-assign]
        httpx.Client.request, lambda _client, method, *_, **__: method == "PUT"
    )


def kill_s3_after_head() -> None:
    from s3fs.core import S3FileSystem

    call_s3 = S3FileSystem._call_s3

    async def call_and_kill(self: Any, method: str, *arguments: Any, **options: Any) -> Any:
        result = await call_s3(self, method, *arguments, **options)
        if method == "put_object" and options["Key"].endswith("/2"):
            kill_itself()
        return result

    S3FileSystem._call_s3 = call_and_kill


def kill_folder_upload() -> None:
    def copy_half(source: Path, target: Path) -> None:
        Path(target).write_bytes(source.read_bytes()[:10])
        kill_itself()

    shutil.copyfile = copy_half  # type: ignore[assignment]


def kill_webdav_upload() -> None:
    import httpx

    send = httpx.Client.request

    def send_half(client: Any, method: str, url: str, **arguments: Any) -> Any:
        if method != "PUT":
            return send(client, method, url, **arguments)

        def read_half() -> Any:
            yield arguments["content"].read(10)
            kill_itself()

        return client.send(client.build_request(method, url, content=read_half()))

    httpx.Client.request = send_half  # type: ignore[assignment,method-assign]


KILLS = {
    name.removeprefix("kill_"): function
    for name, function in list(globals().items())
    if name.startswith(("kill_folder", "kill_ssh", "kill_webdav", "kill_s3"))
}


def main() -> None:
    """Run one pusher for each type of kill."""
    for name in ("asyncssh.sftp", "dvc.repo", "dvc_s3", "dvc_ssh", "dvc_webdav", "httpx", "s3fs.core"):
        importlib.import_module(name)

    for kill, workspace in json.loads(sys.argv[1]).items():
        pid = os.fork()
        if pid == 0:
            KILLS[kill]()
            with open_remote(Path(workspace)) as remote:
                remote.read_head("main")
                if kill.endswith("upload"):
                    (source,) = (Path(workspace) / "sources").iterdir()
                    remote.upload_objects({source.name: source})
                else:
                    remote.create_head("main", 2, b'{"head": "of the killed pusher"}')
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(kill, os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
