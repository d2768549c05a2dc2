"""Push heads and objects to real remotes, read them back, race two pushers, and kill one in the middle."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pytest

from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from geographer.storage.dvc.remote import PublishedHead, find_newest_head, open_remote


def make_workspace(root: Path, url: object, **settings: object) -> Path:
    """Make a folder that DVC takes for a repository, with `url` as its default remote `origin`."""
    (root / ".dvc").mkdir(parents=True)
    lines = "".join(f"    {name} = {value}\n" for name, value in {"url": url, **settings}.items())
    (root / ".dvc" / "config").write_text(
        f"[core]\n    remote = origin\n    no_scm = true\n['remote \"origin\"']\n{lines}"
    )
    return root


@pytest.fixture
def workspace(tmp_path):
    return make_workspace(tmp_path / "workspace", tmp_path / "remote")


@pytest.fixture
def remote(workspace):
    with open_remote(workspace) as opened:
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
    assert remote.read_head("main") == PublishedHead(1, make_head("a"), 1)
    assert remote.create_head("main", 2, make_head("c"))
    assert remote.read_head("main", 1) == PublishedHead(2, make_head("c"), 2)
    assert remote.read_head("main", 2) is None
    assert remote.read_head("other") is None


def test_create_head_rejects_gap(remote):
    with pytest.raises(ConflictError, match="no longer has head 4"):
        remote.create_head("main", 5, make_head("a"))


@pytest.mark.parametrize("branch", ["", "..", "a/b", "a%2F", "-", "a\nb", "ä"])
def test_branch_names_cannot_leave_folder(remote, branch):
    with pytest.raises(UsageError, match="invalid branch name"):
        remote.read_head(branch)


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
    (tmp_path / "targets").mkdir()
    targets = {md5: tmp_path / "targets" / md5 for md5 in [*sources, absent]}
    assert remote.download_objects(targets) is None
    assert {path.name for path in (tmp_path / "targets").iterdir()} == set(sources)
    assert all(targets[md5].read_bytes() == path.read_bytes() for md5, path in sources.items())
    remote.delete_objects([next(iter(sources)), absent])
    assert remote.list_objects() == set(list(sources)[1:])


@pytest.mark.parametrize("md5", ["../../../etc/passwd", "", "0" * 31, "G" * 32, "0" * 32 + "/"])
def test_objects_have_valid_names(remote, tmp_path, md5):
    for call in (remote.download_objects, remote.upload_objects):
        with pytest.raises(CorruptError, match="is not the MD5"):
            call({md5: tmp_path / "file"})
    with pytest.raises(CorruptError):
        remote.delete_objects([md5])


# --- races and kills --------------------------------------------------------------------------------


def race(workspace: Path, number: int, branch: str = "main") -> list[bool]:
    """Let two pushers create the same head at once; return their results."""
    barrier, results = threading.Barrier(2), dict[int, bool]()

    def push(index: int) -> None:
        with open_remote(workspace) as opened:
            opened.read_head(branch)
            barrier.wait()
            results[index] = opened.create_head(branch, number, make_head(index))

    threads = [threading.Thread(target=push, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open_remote(workspace) as opened:
        head = opened.read_head(branch, number - 1)
    (winner,) = (index for index, is_created in results.items() if is_created)
    assert head == PublishedHead(number, make_head(winner), number)
    return [results[0], results[1]]


def test_one_of_two_pushers_wins(workspace):
    results = [race(workspace, number) for number in range(1, 51)]
    assert len(results) == 50


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
