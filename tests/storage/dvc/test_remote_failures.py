"""Kill pushers, let slow ones meet fast ones, and talk to remotes that fail, refuse, or lack what a push needs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from secrets import token_hex
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geographer.base.errors import NotFoundError, StorageError, UsageError
from geographer.storage.dvc import webdav_files
from geographer.storage.dvc.remote import PublishedHead, Remote, open_remote
from geographer.storage.dvc.remote_files import BackendFiles
from tests import REPOSITORY
from tests.remote_servers import LOOPBACK, PASSWORD, USER, add_remote, find_free_ports
from tests.storage.dvc.killed_pushers import KILLS

FIRST, SECOND, THIRD = (json.dumps({"head": text}).encode() for text in ("first", "second", "third"))


@pytest.fixture
def make_workspace(remote_servers, tmp_path):
    """Returns a function that makes a workspace with a new remote of a kind."""

    def make(kind: str, name: str | None = None, **settings: str) -> Path:
        root = tmp_path / token_hex(4)
        add_remote(root, "origin", remote_servers.start_server(kind).make_settings(name or token_hex(4)) | settings)
        return root

    return make


def make_object(root: Path) -> tuple[str, Path]:
    """Write a file of one megabyte, named by its MD5, into the workspace."""
    content = b"megabyte" * 2**17
    path = root / "sources" / hashlib.md5(content).hexdigest()
    path.parent.mkdir()
    path.write_bytes(content)
    return path.name, path


# --- killed pushers ---------------------------------------------------------------------------------


def test_killed_pushers_leave_remotes_usable(make_workspace):
    """Each was killed in the middle: the head is absent, incomplete or published, and the next push completes."""
    workspaces = {kill: make_workspace(kill.partition("_")[0]) for kill in KILLS}
    for root in workspaces.values():
        make_object(root)
        with open_remote(root) as remote:
            assert remote.create_head("main", 1, FIRST)
    command = [sys.executable, "-m", "tests.storage.dvc.killed_pushers", json.dumps(workspaces, default=str)]
    process = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert process.stdout.split("\n") == [*(f"{kill} -9" for kill in KILLS), ""], process.stderr
    for kill, root in workspaces.items():
        with open_remote(root) as remote:
            head = remote.read_head("main")
            assert head == {
                "folder_after_claim": PublishedHead(1, FIRST, 2),
                "s3_after_head": PublishedHead(2, b'{"head": "of the killed pusher"}', 2),
            }.get(kill, PublishedHead(1, FIRST, 1))
            assert remote.list_objects() == set()
            (source,) = (root / "sources").iterdir()
            remote.upload_objects({source.name: source})
            assert remote.list_objects() == {source.name}
            assert remote.create_head("main", head.last_number + 1, THIRD)
            assert remote.read_head("main") == PublishedHead(head.last_number + 1, THIRD, head.last_number + 1)


# --- heads in two steps -----------------------------------------------------------------------------


def refuse_links(*_arguments):
    raise PermissionError(1, "no links here")


@pytest.fixture
def linkless_workspace(request, make_workspace, monkeypatch):
    """A remote whose file system has no hard links."""
    from asyncssh.sftp import SFTPServer

    monkeypatch.setattr("os.link", refuse_links)
    monkeypatch.setattr(SFTPServer, "link", refuse_links)
    return make_workspace(request.param)


@pytest.mark.parametrize("linkless_workspace", ["folder", "ssh"], indirect=True)
def test_heads_without_links(linkless_workspace):
    with open_remote(linkless_workspace) as remote, open_remote(linkless_workspace) as slow:
        assert remote.create_head("main", 1, FIRST)
        assert not remote.create_head("main", 1, SECOND)
        assert slow._files.claim_file("heads/main/2")
        assert remote.read_head("main") == PublishedHead(1, FIRST, 2)
        assert remote.create_head("main", 3, THIRD)
        slow._files.write_file("heads/main/2", SECOND)
        assert remote.read_head("main") == slow.read_head("main", 1) == PublishedHead(3, THIRD, 3)


class KilledError(BaseException):
    """A pusher was killed."""


class Turns:
    """Lets threads take steps in a given order, then ends those to be killed, and lets the others run to their end."""

    def __init__(self, schedule: list[int], killed: set[int]) -> None:
        self.schedule = schedule
        self.killed = killed
        self.alive = {0, 1, 2}
        self.condition = threading.Condition()

    def wait_turn(self, index: int) -> None:
        with self.condition:
            assert self.condition.wait_for(lambda: self.next_index() == index, timeout=20)
            if self.schedule:
                self.schedule.pop()
            elif index in self.killed:
                raise KilledError
            self.condition.notify_all()

    def next_index(self) -> int:
        while self.schedule and self.schedule[-1] not in self.alive:
            self.schedule.pop()
        return self.schedule[-1] if self.schedule else min(self.alive)

    def end(self, index: int) -> None:
        with self.condition:
            self.alive.discard(index)
            self.condition.notify_all()


class MemoryFiles(BackendFiles):
    """Files in memory, without an atomic creation; each step waits for its turn."""

    can_claim = True

    def __init__(self, files: dict[str, bytes], wait_turn: Callable[[], None]) -> None:
        super().__init__(SimpleNamespace(fs=None), "")
        self.files = files
        self.wait_turn = wait_turn

    def read_file(self, path):
        self.wait_turn()
        return self.files.get(path)

    def create_file(self, path, content, is_current):
        return None

    def claim_file(self, path):
        self.wait_turn()
        is_new = path not in self.files
        self.files.setdefault(path, b"")
        return is_new

    def write_file(self, path, content):
        self.wait_turn()
        self.files[path] = content


def push_with_retries(remote: Remote, index: int, pushed: list[int]) -> None:
    for attempt in range(4):
        head = remote.read_head("main")
        parent, last = (head.number, head.last_number) if head else (0, 0)
        content = json.dumps({"parent": parent, "by": [index, attempt]}).encode()
        if remote.create_head("main", last + 1, content):
            pushed.append(last + 1)
            return


@settings(max_examples=300)
@given(st.lists(st.integers(0, 2), max_size=60), st.sets(st.integers(0, 2), max_size=2))
def test_no_push_in_two_steps_is_lost(schedule, killed):
    """Whatever the order of the steps of three pushers, the newest head descends from every push that succeeded."""
    turns, files, pushed = Turns(schedule, killed), dict[str, bytes](), list[int]()

    def run_pusher(index: int) -> None:
        try:
            wait_turn = partial(turns.wait_turn, index)
            push_with_retries(Remote("origin", "memory", MemoryFiles(files, wait_turn)), index, pushed)
        except KilledError:
            pass
        finally:
            turns.end(index)

    with ThreadPoolExecutor(3) as executor:
        list(executor.map(run_pusher, range(3)))
    head = Remote("origin", "memory", MemoryFiles(files, lambda: None)).read_head("main")
    chain, number = [], head.number if head else 0
    while number:
        chain.append(number)
        number = json.loads(files[f"heads/main/{number}"])["parent"]
    assert set(pushed) <= set(chain)


# --- what a remote refuses --------------------------------------------------------------------------


def test_http_remote_is_read_only(make_workspace, remote_servers):
    server = remote_servers.start_server("http")
    root = make_workspace("http", "readable")
    md5, source = make_object(root)
    folder = server.folder / "readable"
    add_remote(root, "writable", {"url": str(folder)}, default=False)
    with open_remote(root, "writable") as remote:
        remote.upload_objects({md5: source})
        for number in range(1, 8):
            assert remote.create_head("main", number, json.dumps({"head": number}).encode())
    with open_remote(root) as remote:
        assert remote.url == f"{server.url}/readable"
        assert remote.read_head("main") == PublishedHead(7, b'{"head": 7}', 7)
        server.requests.clear()
        assert remote.read_head("main", 7) is None
        assert server.requests == [("GET", "/readable/heads/main/8")]
        assert remote.find_missing([md5, "0" * 32]) == {"0" * 32}
        assert remote.download_objects({md5: root / "target", "0" * 32: root / "absent"}) is None
        assert (root / "target").read_bytes() == source.read_bytes()
        for change in (
            lambda: remote.create_head("main", 8, FIRST),
            lambda: remote.upload_objects({md5: source}),
            lambda: remote.delete_objects([md5]),
        ):
            with pytest.raises(UsageError, match="an HTTP remote can only be read"):
                change()
        with pytest.raises(UsageError, match="cannot list its files"):
            remote.list_objects()


def test_webdav_server_without_locks_is_refused(make_workspace, monkeypatch):
    from wsgidav import util
    from wsgidav.request_server import RequestServer

    def refuse_lock(self, environ, start_response):
        return util.send_status_response(environ, start_response, util.DAVError(405))

    monkeypatch.setattr(RequestServer, "do_LOCK", refuse_lock)
    with open_remote(make_workspace("webdav")) as remote:
        with pytest.raises(UsageError, match="has no locks"):
            remote.create_head("main", 1, FIRST)
        assert remote.read_head("main") is None


def test_webdav_waits_for_a_lock(make_workspace, monkeypatch):
    monkeypatch.setattr(webdav_files, "LOCK_TIMEOUT_S", 0.2)
    root = make_workspace("webdav")
    with open_remote(root) as remote, open_remote(root) as other:
        assert remote.create_head("main", 1, FIRST)
        assert isinstance(remote._files, webdav_files.WebdavFiles)
        with remote._files._lock_folder("heads/main"), pytest.raises(StorageError, match="another push has held"):
            other.create_head("main", 2, SECOND)
        assert other.create_head("main", 2, SECOND)


def test_s3_server_without_conditions_is_refused(make_workspace, monkeypatch):
    """An old server ignores If-None-Match and overwrites."""
    with open_remote(make_workspace("s3")) as remote:
        call_s3 = remote._files.filesystem.fs._call_s3

        async def ignore_condition(method, *arguments, **options):
            options.pop("IfNoneMatch", None)
            return await call_s3(method, *arguments, **options)

        monkeypatch.setattr(remote._files.filesystem.fs, "_call_s3", ignore_condition)
        with pytest.raises(UsageError, match="honours 'If-None-Match"):
            remote.create_head("main", 1, FIRST)
        assert remote.read_head("main") is None


# --- errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ssh", "webdav", "s3"])
def test_wrong_password_is_not_shown(make_workspace, kind):
    secret = "wrong-" + PASSWORD
    changed = {"secret_access_key": secret} if kind == "s3" else {"password": secret}
    with open_remote(make_workspace(kind, **changed)) as remote:
        for call in (
            lambda: remote.read_head("main"),
            lambda: remote.find_missing(["0" * 32]),
            remote.list_objects,
        ):
            with pytest.raises(StorageError, match="DVC's remote 'origin'") as caught:
                call()
            assert PASSWORD not in str(caught.value)
            assert USER not in str(caught.value).replace("metadata", "")


@pytest.mark.parametrize("scheme", ["ssh", "webdav", "s3", "http"])
def test_unreachable_server_is_named(tmp_path, monkeypatch, scheme):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    address = f"{LOOPBACK}:{find_free_ports(1)[0]}"
    settings = {"url": f"{scheme}://{USER}:{PASSWORD}@{address}/folder"}
    if scheme != "http":
        settings["password"] = PASSWORD
    if scheme == "s3":
        settings = {"url": "s3://data/folder", "endpointurl": f"http://{address}", "access_key_id": USER}
        settings |= {"secret_access_key": PASSWORD}
    add_remote(tmp_path, "origin", settings)
    with open_remote(tmp_path) as remote:
        for call in (lambda: remote.read_head("main"), lambda: remote.find_missing(["0" * 32])):
            with pytest.raises(StorageError, match="DVC's remote 'origin'") as caught:
                call()
            assert PASSWORD not in str(caught.value) + remote.url


@pytest.mark.parametrize("package", ["ssh", "s3", "webdav"])
def test_missing_package_is_named(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, f"dvc_{package}", None)
    add_remote(tmp_path, "origin", {"url": f"{package}://{USER}:{PASSWORD}@host/folder"})
    with pytest.raises(UsageError, match=rf"pip install 'geographer-datasets\[{package}\]'") as caught:
        open_remote(tmp_path)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "lines", ["url = s3://b\n    version_aware = true", "url = ssh://h\n    no_such_setting = 1", "timeout = 3"]
)
def test_invalid_settings_are_named(tmp_path, lines):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(f"[core]\n    no_scm = true\n['remote \"origin\"']\n    {lines}\n")
    with pytest.raises(UsageError):
        open_remote(tmp_path, "origin")


def test_remote_needs_repository(tmp_path):
    with pytest.raises(NotFoundError, match="is not a DVC repository"):
        open_remote(tmp_path / "absent")


# --- few requests -----------------------------------------------------------------------------------


def test_push_to_webdav_in_few_requests(make_workspace, remote_servers):
    root = make_workspace("webdav", "counted")
    requests = remote_servers.start_server("webdav").requests
    md5, source = make_object(root)
    with open_remote(root) as remote:
        assert remote.create_head("main", 1, FIRST)
        remote.upload_objects({md5: source})
        remote.delete_objects([md5])
    requests.clear()
    with open_remote(root) as remote:
        assert remote.read_head("main", 1) is None
        remote.upload_objects({md5: source})
        assert remote.create_head("main", 2, SECOND)
    assert [method for method, _ in requests] == ["GET", "PUT", "MOVE", "GET", "LOCK", "GET", "PUT", "UNLOCK"]


def test_push_to_s3_in_few_requests(make_workspace, monkeypatch):
    root = make_workspace("s3")
    md5, source = make_object(root)
    requests = []
    with open_remote(root) as remote:
        assert remote.create_head("main", 1, FIRST)
        call_s3 = remote._files.filesystem.fs._call_s3

        async def count_request(method, *arguments, **options):
            requests.append(method)
            return await call_s3(method, *arguments, **options)

        monkeypatch.setattr(remote._files.filesystem.fs, "_call_s3", count_request)
        assert remote.read_head("main", 1) is None
        remote.upload_objects({md5: source})
        assert remote.create_head("main", 2, SECOND)
    assert requests == ["get_object", "put_object", "get_object", "put_object", "put_object"]
