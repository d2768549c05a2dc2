"""Checked files are read again only after a change, and whatever happens to the memory, no damage is missed."""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
from pathlib import Path

import pytest

from geographer.base.atomic_files import check_file
from geographer.base.errors import StorageError
from geographer.base.values import Checksums
from geographer.storage.workspace import checked_files
from geographer.storage.workspace.checked_files import CheckedFiles

CONTENT = b"recorded"
RECORDED = Checksums(len(CONTENT), hashlib.md5(CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def root(tmp_path):
    (tmp_path / ".geographer").mkdir()
    (tmp_path / "a.tif").write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def read_paths(monkeypatch):
    """The paths of the files that were read; files count as settled at once."""
    paths: list[str] = []

    def note_and_check(path, sums):
        paths.append(path.name)
        return check_file(path, sums)

    monkeypatch.setattr(checked_files, "check_file", note_and_check)
    monkeypatch.setattr(checked_files, "_SETTLING_NS", 0)
    return paths


def find_damage(root, name="a.tif", recorded=RECORDED):
    with CheckedFiles(root) as checked:
        return checked.find_damage(root / name, recorded)


def memory_path(root):
    return root / ".geographer" / "checked_files.sqlite"


def rewrite_keeping_time(path: Path, content: bytes) -> None:
    """Write other bytes of the same length in place, and reset the time of modification."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_intact_file_is_read_once(root, read_paths):
    assert [find_damage(root) for _ in range(3)] == [None] * 3
    assert read_paths == ["a.tif"]
    moved = root.rename(root.with_name("moved"))
    assert find_damage(moved) is None
    assert read_paths == ["a.tif"]


def test_change_with_old_time_is_found(root, read_paths):
    assert find_damage(root) is None
    rewrite_keeping_time(root / "a.tif", b"RECORDED")
    assert find_damage(root) == "altered"
    rewrite_keeping_time(root / "a.tif", CONTENT)
    assert find_damage(root) is None
    assert read_paths == ["a.tif"] * 3


def test_other_file_under_the_name_is_found(root, read_paths):
    assert find_damage(root) is None
    (root / "b.tif").write_bytes(b"RECORDED")
    status = (root / "a.tif").stat()
    os.utime(root / "b.tif", ns=(status.st_atime_ns, status.st_mtime_ns))
    (root / "b.tif").replace(root / "a.tif")
    assert find_damage(root) == "altered"


def test_expected_content_counts(root, read_paths):
    assert find_damage(root) is None
    assert find_damage(root, recorded=RECORDED._replace(sha256="0" * 64)) == "altered"


def test_damaged_and_missing_files_are_not_remembered(root, read_paths):
    (root / "a.tif").write_bytes(b"RECORDED")
    (root / "loop").symlink_to("loop")
    assert [find_damage(root) for _ in range(2)] == ["altered"] * 2
    assert [find_damage(root, name) for name in ("none.tif", "a.tif/below", "loop", ".geographer")] == ["missing"] * 4


def test_young_file_is_read_again(root, read_paths, monkeypatch):
    """Two changes within one tick of the file system's clock have one time."""
    monkeypatch.setattr(checked_files, "_SETTLING_NS", 1_000_000_000)
    assert [find_damage(root) for _ in range(2)] == [None] * 2
    assert read_paths == ["a.tif"] * 2


def test_file_that_changes_while_read_is_not_remembered(root, read_paths, monkeypatch):
    def check_and_alter(path, sums):
        damage = check_file(path, sums)
        rewrite_keeping_time(path, b"RECORDED")
        return damage

    monkeypatch.setattr(checked_files, "check_file", check_and_alter)
    assert find_damage(root) is None
    assert find_damage(root) == "altered"


@pytest.mark.parametrize("kind", ["junk", "zeros", "empty", "other table", "folder", "flipped", "no folder"])
def test_memory_may_be_damaged(root, read_paths, kind):
    assert find_damage(root) is None
    path, content = memory_path(root), memory_path(root).read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "other table":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE checked_file (name TEXT)")
        connection.close()
    elif kind == "no folder":
        (root / ".geographer").rmdir()
    else:
        changed = bytearray(content)
        changed[-40:] = bytes(byte ^ 1 for byte in content[-40:])
        path.write_bytes({"junk": b"junk" * 3000, "zeros": bytes(9000), "empty": b"", "flipped": bytes(changed)}[kind])
    assert [find_damage(root) for _ in range(3)] == [None] * 3
    # A damaged memory is replaced for the next command.
    n_reads = {"folder": 3, "no folder": 3, "empty": 1, "flipped": 1}.get(kind, 2)
    assert read_paths == ["a.tif"] * (1 + n_reads)
    rewrite_keeping_time(root / "a.tif", b"RECORDED")
    assert find_damage(root) == "altered"


def test_memory_in_use_is_shared(root, read_paths):
    (root / "b.tif").write_bytes(CONTENT)
    with CheckedFiles(root) as first, CheckedFiles(root) as second:
        assert (first.find_damage(root / "a.tif", RECORDED), second.find_damage(root / "b.tif", RECORDED)) == (
            None,
            None,
        )
    assert (find_damage(root), find_damage(root, "b.tif")) == (None, None)
    assert read_paths == ["a.tif", "b.tif"]


def test_locked_memory_is_not_needed(root, read_paths):
    with sqlite3.connect(memory_path(root)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert find_damage(root) is None
    other.close()
    assert find_damage(root) is None


def test_unreadable_file_is_an_error(root, monkeypatch):
    def fail(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(checked_files, "check_file", fail)
    with pytest.raises(StorageError, match=r"cannot read '.*a\.tif': Permission denied"):
        find_damage(root)
