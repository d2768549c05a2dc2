"""Push heads and objects to real remotes, read them back, race two pushers, and kill one in the middle."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex

import pytest

from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from geographer.storage.dvc.remote import PublishedHead, find_newest_head, open_remote
from geographer.storage.dvc.store import Store
from tests.remote_servers import add_remote

BACKENDS = ("folder", "ssh", "webdav", "s3")
"""The types of remotes that can be pushed to."""


def make_workspace(root: Path, url: object) -> Path:
    """Make a folder that DVC takes for a repository, with `url` as its default remote `origin`."""
    add_remote(root, "origin", {"url": str(url)})
    return root


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def server(backend, remote_servers):
    return remote_servers.start_server(backend)


@pytest.fixture
def workspace(server, tmp_path):
    root = tmp_path / "workspace"
    add_remote(root, "origin", server.make_settings(token_hex(4)))
    return root


@pytest.fixture
def folder_workspace(tmp_path):
    return make_workspace(tmp_path / "workspace", tmp_path / "remote")


@pytest.fixture
def remote(workspace):
    with open_remote(workspace) as opened:
        yield opened


@pytest.fixture
def folder_remote(folder_workspace):
    with open_remote(folder_workspace) as opened:
        yield opened


def make_head(text: object) -> bytes:
    return json.dumps({"head": text}).encode()


def write_objects(folder: Path, *contents: bytes) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    paths = {hashlib.md5(content).hexdigest(): content for content in contents}
    for md5, content in paths.items():
        (folder / md5).write_bytes(content)
    return {md5: folder / md5 for md5 in paths}


# --- heads ------------------------------------------------------------------------------------------


def test_heads_are_created_once_and_read(remote):
    assert remote.read_head("main") is None
    assert remote.create_head("main", 1, make_head("a"))
    assert not remote.create_head("main", 1, make_head("b"))
    assert remote.create_head("topic", 1, make_head("b"))
    assert remote.list_branches() == ["main", "topic"]
    assert remote.read_head("main") == PublishedHead(1, make_head("a"), 1)
    assert remote.create_head("main", 2, make_head("c"))
    assert remote.read_head("main", 1) == PublishedHead(2, make_head("c"), 2)
    assert remote.read_head("main", 2) is None
    assert remote.read_head("other") is None


def test_create_head_rejects_gap(remote):
    with pytest.raises(ConflictError, match="no longer has head 4"):
        remote.create_head("main", 5, make_head("a"))


@pytest.mark.parametrize("branch", ["", "..", "a/b", "a%2F", "-", "a\nb", "ä"])
def test_branch_names_cannot_leave_folder(folder_remote, branch):
    with pytest.raises(UsageError, match="invalid branch name"):
        folder_remote.read_head(branch)


@pytest.mark.parametrize("known", [0, 1, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 6, 7, 8, 100, 1000])
def test_find_newest_head_in_few_requests(known, count):
    requests = []

    def read(number):
        requests.append(number)
        return make_head(number) if number <= known + count else None

    head, skipped = find_newest_head(read, known)
    assert skipped == []
    assert head == (PublishedHead(known + count, make_head(known + count), known + count) if count else None)
    assert len(requests) == len(set(requests)) <= 1 + 2 * count.bit_length()


@pytest.mark.parametrize("cut", [b"", b'{"head": 1', b"[1]"])
def test_incomplete_heads_are_skipped(cut):
    contents = [make_head(1), make_head(2), cut, cut]
    head, skipped = find_newest_head(lambda number: contents[number - 1] if number <= 4 else None, 1)
    assert (head, skipped) == (PublishedHead(2, make_head(2), 4), [3, 4])
    assert find_newest_head(lambda number: cut if number == 1 else None) == (PublishedHead(0, b"", 1), [1])


# --- objects ----------------------------------------------------------------------------------------


def test_objects_travel(remote, tmp_path):
    sources = write_objects(tmp_path / "sources", *(b"object %d" % index for index in range(9)), b"")
    absent = "0" * 32
    assert remote.list_objects() == set()
    assert remote.find_missing([*sources, absent]) == {*sources, absent}
    counts = []
    remote.upload_objects(sources, lambda *arguments: counts.append(arguments))
    assert counts == [("objects uploaded", number, 10) for number in range(1, 11)]
    assert remote.find_missing([*sources, absent]) == {absent}
    assert remote.list_objects() == set(sources)
    assert set(remote._files.object_db.oids_exist([*sources, absent])) == set(sources)
    (tmp_path / "targets").mkdir()
    targets = {md5: tmp_path / "targets" / md5 for md5 in [*sources, absent]}
    assert remote.download_objects(targets) is None
    assert {path.name for path in (tmp_path / "targets").iterdir()} == set(sources)
    assert all(targets[md5].read_bytes() == path.read_bytes() for md5, path in sources.items())
    remote.delete_objects([next(iter(sources)), absent])
    assert remote.list_objects() == set(list(sources)[1:])


def test_store_fetches_from_named_remote(tmp_path):
    root = make_workspace(tmp_path / "workspace", tmp_path / "remote")
    add_remote(root, "backup", {"url": str(tmp_path / "backup")}, default=False)
    sources = write_objects(tmp_path / "sources", b"one", b"two")
    absent = "0" * 32
    with Store(root) as store, open_remote(root, "backup") as backup:
        backup.upload_objects(sources)
        assert store.fetch_files([*sources, absent]) == dict.fromkeys([*sources, absent], "missing")
        assert store.fetch_files([*sources, absent], backup) == {absent: "missing"}
        assert [store.cache_path(md5).read_bytes() for md5 in sources] == [b"one", b"two"]


def test_many_objects_are_looked_for(remote, tmp_path):
    """More than are looked for one by one."""
    sources = write_objects(tmp_path / "sources", b"one", b"two")
    remote.upload_objects(sources)
    absent = {f"{index:032x}" for index in range(300)}
    assert remote.find_missing({*sources, *absent}) == absent


@pytest.mark.parametrize("md5", ["../../../etc/passwd", "", "0" * 31, "G" * 32, "0" * 32 + "/"])
def test_objects_have_valid_names(folder_remote, tmp_path, md5):
    for call in (folder_remote.download_objects, folder_remote.upload_objects):
        with pytest.raises(CorruptError, match="is not the MD5"):
            call({md5: tmp_path / "file"})
    with pytest.raises(CorruptError):
        folder_remote.delete_objects([md5])


# --- races and kills --------------------------------------------------------------------------------


def test_one_of_two_pushers_wins(workspace):
    """Each pusher has a connection of its own, and both create the same 50 numbers at once."""
    barrier = threading.Barrier(2, timeout=60)

    def push(index: int) -> list[bool]:
        results = []
        with open_remote(workspace) as opened:
            for number in range(1, 51):
                barrier.wait()
                results.append(opened.create_head("main", number, make_head([index, number])))
        return results

    with ThreadPoolExecutor(2) as executor:
        first, second = executor.map(push, range(2))
    assert [one + other for one, other in zip(first, second, strict=True)] == [1] * 50
    with open_remote(workspace) as opened:
        heads = [opened.read_head("main", 50 - count) for count in (1, 50)]
    assert heads == [PublishedHead(50, make_head([0 if first[49] else 1, 50]), 50)] * 2


# --- opening ----------------------------------------------------------------------------------------


def test_open_remote_names_what_is_missing(tmp_path):
    root = make_workspace(tmp_path, "folder")
    config = root / ".dvc" / "config"
    with pytest.raises(NotFoundError, match="no remote 'backup', only 'origin'"):
        open_remote(root, "backup")
    config.write_text(config.read_text().replace("remote = origin", ""))
    with pytest.raises(NotFoundError, match=r"no default remote\. Name one of 'origin'"):
        open_remote(root)
    assert open_remote(root, "Origin").name == "Origin"
    config.write_text("[core]\n    no_scm = true\n")
    with pytest.raises(NotFoundError, match="dvc remote add -d"):
        open_remote(root)
