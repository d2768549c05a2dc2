"""Compare the store with DVC: its CLI and its `Repo` must agree with the files that the store writes."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from geographer.base import atomic_files
from geographer.base.errors import ConflictError, NotFoundError, StorageError, UsageError
from geographer.base.values import Checksums
from geographer.rasters.checksums import compute_checksums
from geographer.storage.dvc import dvc_files
from geographer.storage.dvc.store import Store
from tests import REPOSITORY

FILES = {
    "S2A_T33.tif": b"a scene" * 40_000,
    "S2A-T33.tif": b"sorts before its sibling" * 900,
    "2024/S2B.tif": b"in a folder" * 3,
    "2024-06.tif": b"x",
    'gr\u00fcn "quoted" \\ name.tif': b"a name that JSON must escape",
}


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    """Set an isolated home folder, so that Git and DVC neither read nor write files of the user."""
    home = tmp_path / "home"
    (home / "dvc").mkdir(parents=True)
    (home / "dvc" / "config").write_text("[core]\n    check_update = false\n    analytics = false\n")
    (home / ".gitconfig").write_text("[user]\n    name = A\n    email = a@example.org\n")
    for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(home / "dvc"))
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", str(home / "system"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(home / "site"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


def run_git(root, *arguments):
    process = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return process.stdout


def run_dvc(root, *arguments):
    process = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout.strip()


def read_status(root):
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return repo.status()


def create_workspace(kind, tmp_path):
    """Initialise a workspace: at the top of a Git work tree, below it, or without Git."""
    top = tmp_path / "work tree"
    top.mkdir()
    if kind != "no-scm":
        run_git(top, "init", "-q")
    return Store.init_repository(top / "below" if kind == "subfolder" else top)


@pytest.fixture
def git_store(tmp_path):
    with create_workspace("git", tmp_path) as opened:
        yield opened


@pytest.fixture
def plain_store(tmp_path):
    with create_workspace("no-scm", tmp_path) as opened:
        yield opened


def make_checksums(content):
    return Checksums(len(content), hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest())


def write_file(folder, content, name="new.tif"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path, make_checksums(content)


def add_file(opened, content, name="new.tif"):
    new_file = write_file(opened.root / ".geographer" / "staging", content, name)
    opened.add_files([new_file], move=True)
    return new_file[1]


def add_tracked_files(opened, folder, content_of_name):
    """Add, restore and track files, as the commands do; return the checksums and path of each."""
    files = [(add_file(opened, content), opened.root / folder / name) for name, content in content_of_name.items()]
    assert opened.restore_files(files, trusted_md5s={sums.md5 for sums, _ in files}) == []
    entries = [(name, sums.md5, sums.size) for name, (sums, _) in zip(content_of_name, files, strict=True)]
    opened.track_folder(folder, entries)
    return files


def read_contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip_a_byte(path):
    """Change the last byte and nothing that `stat` shows."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    path.chmod(stat.S_IMODE(before.st_mode))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def list_temporary_files(root):
    return [path for path in root.rglob(atomic_files.TEMPORARY_FILES) if path.is_file()]


def add_remote(opened, url):
    config = opened.root / ".dvc" / "config"
    core = config.read_text().replace("[core]", "[core]\n    remote = far")
    config.write_text(f"{core}['remote \"far\"']\n    url = {url}\n")


def push_files(opened):
    from dvc.repo import Repo

    with Repo(str(opened.root)) as repo:
        assert repo.push() > 0


def empty_cache(opened):
    shutil.rmtree(opened.root / ".dvc" / "cache")


# --- agreement with DVC -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["git", "subfolder", "no-scm"])
def test_dvc_status_of_tracked_folder(kind, tmp_path):
    with create_workspace(kind, tmp_path) as opened:
        add_tracked_files(opened, "rasters/source", FILES)
        add_tracked_files(opened, "labels/mask/chips", {"a.tif": b"mask"})
        assert run_dvc(opened.root, "status") == "Data and pipelines are up to date."
        (opened.root / "rasters" / "source" / "2024-06.tif").write_bytes(b"y")
        (changed,) = read_status(opened.root).values()
        assert list(changed[0]["changed outs"].values()) == ["modified"]


def test_track_folder_equals_dvc_add(tmp_path):
    folders = ["rasters/source", "labels/mask/chips", "rasters/2024", "rasters/a: [b]"]
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for root in (ours, theirs):
        root.mkdir()
        run_git(root, "init", "-q")
        Store.init_repository(root).close()
    with Store(ours) as opened:
        for folder in folders:
            add_tracked_files(opened, folder, FILES | {"its name": folder.encode()})
            for name, content in (FILES | {"its name": folder.encode()}).items():
                write_file(theirs / folder, content, name)
    run_dvc(theirs, "add", *folders)
    shutil.rmtree(ours / ".geographer")
    for root in (ours, theirs):
        shutil.rmtree(root / ".git")
        shutil.rmtree(root / ".dvc" / "tmp")
    assert read_contents(ours) == read_contents(theirs)
    assert read_modes(ours) == read_modes(theirs)


def read_modes(folder):
    return {str(path.relative_to(folder)): path.stat().st_mode for path in folder.rglob("*")}


def test_listing_equals_dvc_data():
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    names = [f"{i % 7}/\u00e9{i * 7919 % 10_000}.tif" if i % 3 else f"{i % 7}-{i}" for i in range(10_000)]
    entries = [(name, hashlib.md5(name.encode()).hexdigest(), i) for i, name in enumerate(names)]
    tree = Tree()
    for name, md5, _ in entries:
        tree.add(tuple(name.split("/")), None, HashInfo("md5", md5))
    assert dvc_files.encode_listing(entries) == tree.as_bytes()


def test_push_and_pull_into_clone(git_store, tmp_path):
    add_tracked_files(git_store, "rasters/source", FILES)
    add_remote(git_store, tmp_path / "remote")
    run_git(git_store.root, "add", ".")
    run_git(git_store.root, "commit", "-qm", "chips")
    run_dvc(git_store.root, "push")
    run_git(tmp_path, "clone", "-q", str(git_store.root), "clone")
    assert not (tmp_path / "clone" / "rasters" / "source").exists()
    run_dvc(tmp_path / "clone", "pull")
    assert read_contents(tmp_path / "clone" / "rasters" / "source") == FILES


def test_dvc_checkout_restores_deleted_folder(plain_store):
    from dvc.repo import Repo

    add_tracked_files(plain_store, "rasters/source", FILES)
    shutil.rmtree(plain_store.root / "rasters" / "source")
    with Repo(str(plain_store.root)) as repo:
        repo.checkout()
    assert read_contents(plain_store.root / "rasters" / "source") == FILES


def test_dvc_ignores_leftover_temporary_file(plain_store):
    add_tracked_files(plain_store, "rasters/source", FILES)
    (plain_store.root / "rasters" / "source" / ".geographer-0123").write_bytes(b"half")
    assert read_status(plain_store.root) == {}


def test_save_dvc_state_saves_md5s(plain_store):
    from dvc.repo import Repo

    files = add_tracked_files(plain_store, "rasters/source", {"a.tif": b"one", "b.tif": b"two"})
    plain_store.save_dvc_state([(files[0][1], files[0][0])])
    with Repo(str(plain_store.root)) as repo:
        known = [repo.state.get(str(path), repo.fs)[1] for _, path in files]
    assert known[0].value == files[0][0].md5
    assert known[1] is None


# --- the .dvc file --------------------------------------------------------------------------------


def test_track_folder_keeps_user_additions(git_store):
    add_tracked_files(git_store, "rasters/source", {"a.tif": b"one"})
    dvc_file = git_store.root / "rasters" / "source.dvc"
    dvc_file.write_text("# from the archive\n" + dvc_file.read_text() + "  desc: scenes of 2024\n")
    add_tracked_files(git_store, "rasters/source", {"a.tif": b"one", "b.tif": b"two!"})
    listing = f'[{{"md5": "{make_checksums(b"one").md5}", "relpath": "a.tif"}}, '
    listing += f'{{"md5": "{make_checksums(b"two!").md5}", "relpath": "b.tif"}}]'
    assert dvc_file.read_text() == (
        f"# from the archive\nouts:\n- md5: {hashlib.md5(listing.encode()).hexdigest()}.dir\n"
        "  size: 7\n  nfiles: 2\n  hash: md5\n  path: source\n  desc: scenes of 2024\n"
    )
    assert read_status(git_store.root) == {}


def test_track_folder_untracks_empty_folder(git_store):
    add_tracked_files(git_store, "rasters/source", FILES)
    add_tracked_files(git_store, "rasters/chips", FILES)
    folder = git_store.root / "rasters"
    with Store(git_store.root) as opened:
        for _ in range(2):
            add_tracked_files(opened, "rasters/source", FILES)
            assert sorted((folder / ".gitignore").read_text().splitlines()) == ["/chips", "/source"]
            opened.track_folder("rasters/source", [])
            assert (folder / ".gitignore").read_text() == "/chips\n"
            assert [path.name for path in folder.glob("*.dvc")] == ["chips.dvc"]
        opened.track_folder("rasters/chips", [])
    assert list(folder.glob("*.dvc")) == []
    assert not (folder / ".gitignore").exists()


def test_track_folder_respects_autostage(git_store):
    with (git_store.root / ".dvc" / "config").open("a") as config:
        config.write("    autostage = true\n")
    add_tracked_files(git_store, "rasters/source", FILES)
    staged = run_git(git_store.root, "diff", "--cached", "--name-only", "rasters")
    assert staged.splitlines() == ["rasters/.gitignore", "rasters/source.dvc"]


def test_track_folder_replaces_damaged_listing(plain_store):
    add_tracked_files(plain_store, "rasters/source", FILES)
    text = (plain_store.root / "rasters" / "source.dvc").read_text()
    listing = plain_store.cache_path(text.split("md5: ")[1].split()[0])
    whole = listing.read_bytes()
    flip_a_byte(listing)
    add_tracked_files(plain_store, "rasters/source", FILES)
    assert listing.read_bytes() == whole
    assert stat.S_IMODE(listing.stat().st_mode) == 0o444


def test_gitignore_not_written_without_git(plain_store):
    add_tracked_files(plain_store, "rasters/source", FILES)
    plain_store.add_to_gitignore(".geographer")
    assert [path for path in plain_store.root.rglob(".gitignore") if ".dvc" not in path.parts] == []


def test_add_to_gitignore_twice(git_store):
    (git_store.root / ".gitignore").write_text("*.bak")
    git_store.add_to_gitignore(".geographer")
    git_store.add_to_gitignore(".geographer")
    assert (git_store.root / ".gitignore").read_text() == "*.bak\n/.geographer\n"


def test_track_folder_rejects_folder_in_git(git_store):
    write_file(git_store.root / "rasters" / "source", b"in Git", "a.tif")
    run_git(git_store.root, "add", "-f", "rasters")
    with pytest.raises(ConflictError, match="git rm -r --cached"):
        git_store.track_folder("rasters/source", [("a.tif", make_checksums(b"in Git").md5, 6)])
    assert not (git_store.root / "rasters" / "source.dvc").exists()


def test_track_folder_rejects_ignored_dvc_file(git_store):
    (git_store.root / ".gitignore").write_text("rasters/\n")
    with pytest.raises(ConflictError, match=r"source\.dvc' is git-ignored"):
        git_store.track_folder("rasters/source", [("a.tif", make_checksums(b"one").md5, 3)])


# --- locks and other processes --------------------------------------------------------------------


@pytest.fixture
def held_lock(plain_store, monkeypatch):
    """DVC's lock, held by another process; DVC's own timeout is reduced from 3 s."""
    import zc.lockfile  # type: ignore[import-untyped]
    from dvc import lock

    monkeypatch.setattr(lock, "DEFAULT_TIMEOUT", 0.06)
    plain_store.cache_path("00" * 16)
    lock_file = zc.lockfile.LockFile(str(plain_store.root / ".dvc" / "tmp" / "lock"))
    yield lock_file
    lock_file.close()


def test_track_folder_waits_for_dvc_lock(plain_store, held_lock):
    release = threading.Timer(0.4, held_lock.close)
    release.start()
    plain_store.track_folder("rasters/source", [("a.tif", make_checksums(b"one").md5, 3)])
    release.join()
    assert (plain_store.root / "rasters" / "source.dvc").exists()


def test_track_folder_lock_timeout(plain_store, held_lock, monkeypatch):
    monkeypatch.setattr(dvc_files, "LOCK_TIMEOUT_S", 0.2)
    with pytest.raises(StorageError, match="held the lock"):
        plain_store.track_folder("rasters/source", [("a.tif", make_checksums(b"one").md5, 3)])
    assert not (plain_store.root / "rasters" / "source.dvc").exists()


ADD_IN_ANOTHER_PROCESS = """
import hashlib, sys
from pathlib import Path
from geographer.rasters.checksums import compute_checksums
from geographer.storage.dvc.store import Store

root, who = Path(sys.argv[1]), sys.argv[2]
with Store(root) as store:
    entries = []
    for i in range(30):
        path = root / f"{who}{i}.tmp"
        path.write_bytes(bytes([i]) * 1000)
        entries.append((path, compute_checksums(path)))
    store.add_files(entries, move=True)
    names = [(f"{i}.tif", sums) for i, (_, sums) in enumerate(entries)]
    store.restore_files([(sums, root / "rasters" / "source" / name) for name, sums in names])
    for _ in range(5):
        store.track_folder("rasters/source", [(name, sums.md5, sums.size) for name, sums in names])
"""


def test_two_processes_store_same_files(plain_store):
    command = [sys.executable, "-c", ADD_IN_ANOTHER_PROCESS, str(plain_store.root)]
    processes = [subprocess.Popen([*command, who], stderr=subprocess.PIPE) for who in "ab"]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
    assert read_status(plain_store.root) == {}
    assert list_temporary_files(plain_store.root) == []


# --- into the cache -------------------------------------------------------------------------------


def test_add_files_moves_new_files(plain_store):
    path, sums = write_file(plain_store.root / "staging", b"made by us")
    inode = path.stat().st_ino
    plain_store.add_files([(path, sums)], move=True)
    cached = plain_store.cache_path(sums.md5)
    assert (cached.read_bytes(), stat.S_IMODE(cached.stat().st_mode)) == (b"made by us", 0o444)
    assert cached.stat().st_ino == inode
    assert not path.exists()


def test_add_files_from_other_file_system(plain_store, monkeypatch):
    path, sums = write_file(plain_store.root / "staging", b"made elsewhere")
    replace = Path.replace

    def fail_across_devices(self, target):
        if self == path:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_across_devices)
    plain_store.add_files([(path, sums)], move=True)
    cached = plain_store.cache_path(sums.md5)
    assert (cached.read_bytes(), stat.S_IMODE(cached.stat().st_mode)) == (b"made elsewhere", 0o444)
    assert not path.exists()


def test_add_files_copies_user_files(plain_store, tmp_path):
    path, sums = write_file(tmp_path / "archive", b"user's file")
    path.chmod(0o640)
    plain_store.add_files([(path, sums)])
    cached = plain_store.cache_path(sums.md5)
    assert (cached.read_bytes(), stat.S_IMODE(cached.stat().st_mode)) == (b"user's file", 0o444)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"user's file", 0o640)
    assert cached.stat().st_ino != path.stat().st_ino
    before = cached.stat()
    plain_store.add_files([(path, sums)])
    assert cached.stat() == before


@pytest.mark.parametrize("move", [True, False])
@pytest.mark.parametrize("damage", [flip_a_byte, lambda path: path.unlink(), lambda path: path.touch()])
def test_add_files_replaces_damaged_object(plain_store, tmp_path, move, damage):
    sums = add_file(plain_store, b"as it should be")
    damage(plain_store.cache_path(sums.md5))
    plain_store.add_files([write_file(tmp_path, b"as it should be")], move=move)
    assert plain_store.cache_path(sums.md5).read_bytes() == b"as it should be"


@pytest.mark.parametrize("move", [True, False])
def test_add_files_rejects_changed_file(plain_store, tmp_path, move):
    path, sums = write_file(tmp_path, b"before")
    path.write_bytes(b"after it" if move else b"after!")
    with pytest.raises(ConflictError, match=r"new\.tif' changed"):
        plain_store.add_files([(path, sums)], move=move)
    assert not plain_store.cache_path(sums.md5).exists()
    assert list_temporary_files(plain_store.root) == []


@pytest.mark.parametrize("move", [True, False])
def test_add_files_names_missing_file(plain_store, tmp_path, move):
    with pytest.raises(NotFoundError, match=r"gone\.tif"):
        plain_store.add_files([(tmp_path / "gone.tif", make_checksums(b"gone"))], move=move)


def copy_half(source, target):
    content = Path(source).read_bytes()
    Path(target).write_bytes(content[: len(content) // 2])
    raise OSError(errno.ENOSPC, "No space left on device")


def test_add_files_on_full_disk(plain_store, tmp_path, monkeypatch):
    path, sums = write_file(tmp_path / "archive", b"too large" * 1000)
    with monkeypatch.context() as full:
        full.setattr(shutil, "copyfile", copy_half)
        with pytest.raises(StorageError, match="is full"):
            plain_store.add_files([(path, sums)])
    assert not plain_store.cache_path(sums.md5).exists()
    assert list_temporary_files(plain_store.root) == []
    plain_store.add_files([(path, sums)])
    assert plain_store.check_files([sums]) == {}


def test_restore_files_on_full_disk_keeps_old_file(plain_store, monkeypatch):
    sums = add_file(plain_store, b"the new one")
    path, _ = write_file(plain_store.root / "rasters" / "source", b"the old one", "a.tif")
    monkeypatch.setattr(shutil, "copyfile", copy_half)
    with pytest.raises(StorageError, match=r"a\.tif' is full"):
        plain_store.restore_files([(sums, path)])
    assert read_contents(plain_store.root / "rasters") == {"source/a.tif": b"the old one"}


KILLED_WHILE_COPYING = """
import os, shutil, signal, sys
from pathlib import Path
from geographer.rasters.checksums import compute_checksums
from geographer.storage.dvc.store import Store

def die_halfway(source, target):
    content = Path(source).read_bytes()
    Path(target).write_bytes(content[: len(content) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

shutil.copyfile = die_halfway
path = Path(sys.argv[2])
Store(Path(sys.argv[1])).add_files([(path, compute_checksums(path))])
"""


def test_add_files_is_atomic_when_killed(plain_store, tmp_path):
    path, sums = write_file(tmp_path / "archive", b"a large scene" * 1000)
    command = [sys.executable, "-c", KILLED_WHILE_COPYING, str(plain_store.root), str(path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert list_temporary_files(plain_store.root) != []
    assert plain_store.check_files([sums]) == {sums.md5: "missing"}
    plain_store.add_files([(path, sums)])
    assert plain_store.check_files([sums]) == {}


# --- out of the cache -----------------------------------------------------------------------------


def test_flipped_byte_in_cache_not_restored(plain_store):
    good, bad, lost = (add_file(plain_store, content) for content in (b"good", b"bad", b"lost"))
    flip_a_byte(plain_store.cache_path(bad.md5))
    plain_store.cache_path(lost.md5).unlink()
    folder = plain_store.root / "rasters" / "source"
    write_file(folder, b"what was here", "bad.tif")
    files = [(bad, folder / "bad.tif"), (lost, folder / "lost.tif"), (good, folder / "good.tif")]
    assert plain_store.restore_files(files) == [
        (folder / "bad.tif", bad, "altered"),
        (folder / "lost.tif", lost, "missing"),
    ]
    assert read_contents(folder) == {"good.tif": b"good", "bad.tif": b"what was here"}
    assert plain_store.check_files([good, bad, lost]) == {bad.md5: "altered", lost.md5: "missing"}


def test_truncated_object_is_altered(plain_store):
    sums = add_file(plain_store, b"all of it")
    cached = plain_store.cache_path(sums.md5)
    cached.chmod(0o644)
    os.truncate(cached, 4)
    assert plain_store.check_files([sums]) == {sums.md5: "altered"}
    assert plain_store.restore_files([(sums, plain_store.root / "a.tif")], trusted_md5s={sums.md5}) == [
        (plain_store.root / "a.tif", sums, "altered")
    ]


def test_trusted_files_restored_without_hashing(plain_store, monkeypatch):
    sums = add_file(plain_store, b"fresh")
    monkeypatch.delattr(hashlib, "file_digest")
    assert plain_store.restore_files([(sums, plain_store.root / "a.tif")], trusted_md5s={sums.md5}) == []
    with pytest.raises(AttributeError):
        plain_store.restore_files([(sums, plain_store.root / "a.tif")])


def test_restore_files_replaces_existing_file(plain_store, tmp_path):
    sums = add_file(plain_store, b"new")
    path, _ = write_file(plain_store.root / "rasters", b"old", "a.tif")
    other_name = tmp_path / "hard link"
    other_name.hardlink_to(path)
    assert plain_store.restore_files([(sums, path)]) == []
    assert (path.read_bytes(), other_name.read_bytes()) == (b"new", b"old")
    assert path.stat().st_mode & stat.S_IWUSR


def test_restore_files_links_into_cache(plain_store):
    sums = add_file(plain_store, b"linked")
    path = plain_store.root / "out" / "a.tif"
    for _ in range(2):
        assert plain_store.restore_files([(sums, path)], link=True) == []
        assert path.samefile(plain_store.cache_path(sums.md5))
    assert read_contents(path.parent) == {"a.tif": b"linked"}


def test_restore_files_links_no_altered_object(plain_store):
    sums = add_file(plain_store, b"linked")
    flip_a_byte(plain_store.cache_path(sums.md5))
    path = plain_store.root / "out" / "a.tif"
    assert plain_store.restore_files([(sums, path)], link=True) == [(path, sums, "altered")]
    assert read_contents(path.parent) == {}


def test_restore_files_copies_without_link_support(plain_store, monkeypatch):
    from dvc_objects.fs import system

    def fail_to_link(_source, _target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(system, "hardlink", fail_to_link)
    monkeypatch.setattr(system, "symlink", fail_to_link)
    files = [(add_file(plain_store, content), plain_store.root / content.decode()) for content in (b"a", b"b")]
    assert plain_store.restore_files(files, link=True) == []
    assert [path.read_bytes() for _, path in files] == [b"a", b"b"]
    assert [path.stat().st_nlink for _, path in files] == [1, 1]


@pytest.mark.parametrize("kind", ["hardlink", "symlink", "copy"])
def test_restore_files_respects_dvc_config(tmp_path, kind):
    Store.init_repository(tmp_path / "w")
    with (tmp_path / "w" / ".dvc" / "config").open("a") as config:
        config.write(f"[cache]\n    dir = {tmp_path / 'shared cache'}\n    type = {kind}\n")
    with Store(tmp_path / "w") as opened:
        ((sums, path),) = add_tracked_files(opened, "rasters/source", {"a.tif": b"shared"})
        cached = opened.cache_path(sums.md5)
    assert cached == tmp_path / "shared cache" / "files" / "md5" / sums.md5[:2] / sums.md5[2:]
    assert (path.is_symlink(), cached.stat().st_nlink) == (kind == "symlink", 2 if kind == "hardlink" else 1)
    assert path.read_bytes() == b"shared"
    assert read_status(tmp_path / "w") == {}


def test_shared_cache_is_group_writable(plain_store):
    with (plain_store.root / ".dvc" / "config").open("a") as config:
        config.write("[cache]\n    shared = group\n")
    with Store(plain_store.root) as opened:
        add_tracked_files(opened, "rasters/source", FILES)
    file_modes = read_modes(plain_store.root / ".dvc" / "cache").values()
    assert {stat.S_IMODE(mode) for mode in file_modes} == {0o2775, 0o444}


# --- the remote -----------------------------------------------------------------------------------


def test_restore_files_fetches_from_remote(plain_store, tmp_path):
    files = add_tracked_files(plain_store, "rasters/source", FILES)
    add_remote(plain_store, tmp_path / "remote")
    push_files(plain_store)
    empty_cache(plain_store)
    shutil.rmtree(plain_store.root / "rasters" / "source")
    assert plain_store.restore_files(files) == []
    assert read_contents(plain_store.root / "rasters" / "source") == FILES
    assert plain_store.check_files([sums for sums, _ in files]) == {}
    cached = plain_store.cache_path(files[0][0].md5)
    assert stat.S_IMODE(cached.stat().st_mode) == 0o444


def test_flipped_byte_in_remote_not_cached(plain_store, tmp_path):
    files = add_tracked_files(plain_store, "rasters/source", {"a.tif": b"one", "b.tif": b"two", "c.tif": b"three"})
    (one, path_of_one), (two, _), (three, path_of_three) = files
    add_remote(plain_store, tmp_path / "remote")
    push_files(plain_store)
    empty_cache(plain_store)
    shutil.rmtree(plain_store.root / "rasters" / "source")
    flip_a_byte(tmp_path / "remote" / "files" / "md5" / one.md5[:2] / one.md5[2:])
    (tmp_path / "remote" / "files" / "md5" / three.md5[:2] / three.md5[2:]).unlink()
    assert plain_store.restore_files(files) == [(path_of_one, one, "altered"), (path_of_three, three, "missing")]
    assert read_contents(plain_store.root / "rasters" / "source") == {"b.tif": b"two"}
    assert plain_store.fetch_files([one.md5, two.md5, three.md5]) == {one.md5: "altered", three.md5: "missing"}
    assert plain_store.check_files([one, two]) == {one.md5: "missing"}
    assert list_temporary_files(plain_store.root) == []


def test_fetch_files_without_remote(plain_store):
    sums = make_checksums(b"never stored")
    assert plain_store.fetch_files([sums.md5]) == {sums.md5: "missing"}


def test_fetch_files_uses_new_remote(plain_store, tmp_path):
    ((sums, _),) = add_tracked_files(plain_store, "rasters/source", {"a.tif": b"one"})
    remote_folder = tmp_path / "remote" / "files" / "md5" / sums.md5[:2]
    write_file(remote_folder, b"one", sums.md5[2:])
    empty_cache(plain_store)
    assert plain_store.fetch_files([sums.md5]) == {sums.md5: "missing"}
    add_remote(plain_store, tmp_path / "remote")
    assert plain_store.fetch_files([sums.md5]) == {}


def test_fetch_files_reports_failed_remote(plain_store, tmp_path):
    present, unreadable = make_checksums(b"here"), make_checksums(b"there")
    url = tmp_path / "remote"
    write_file(url / "files" / "md5" / present.md5[:2], b"here", present.md5[2:])
    (url / "files" / "md5" / unreadable.md5[:2] / unreadable.md5[2:]).mkdir(parents=True)
    add_remote(plain_store, url)
    with pytest.raises(StorageError, match=r"remote 'far' .* failed"):
        plain_store.fetch_files([present.md5, unreadable.md5])
    assert list_temporary_files(plain_store.root) == []
    assert not plain_store.cache_path(unreadable.md5).exists()


# --- opening --------------------------------------------------------------------------------------


def test_init_repository_stages_config(git_store):
    assert (git_store.root / ".dvc" / "config").read_text() == "[core]\n    analytics = False\n"
    assert (git_store.root / ".dvcignore").read_text().splitlines()[-2:] == [".geographer", ".geographer-*"]
    staged = run_git(git_store.root, "status", "--porcelain")
    assert staged == "A  .dvc/.gitignore\nA  .dvc/config\nA  .dvcignore\n"


INITIALISE_AND_TRACK = """
from pathlib import Path
from geographer.storage.dvc.store import Store

with Store.init_repository(Path()) as store:
    store.add_to_gitignore(".geographer")
    store.track_folder("rasters/source", [("a.tif", "0" * 32, 1)])
    store.fetch_files(["0" * 32])
"""


def test_dvc_prints_nothing(tmp_path):
    run_git(tmp_path, "init", "-q")
    command = [sys.executable, "-c", INITIALISE_AND_TRACK]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (process.stdout, process.stderr) == ("", "")


def test_init_repository_keeps_existing_one(git_store):
    add_tracked_files(git_store, "rasters/source", FILES)
    (git_store.root / ".dvcignore").write_text("*.bak")
    (git_store.root / ".dvc" / "config").write_text("[core]\n    analytics = true\n")
    before = read_contents(git_store.root / "rasters")
    Store.init_repository(git_store.root, scm=False)
    Store.init_repository(git_store.root)
    assert (git_store.root / ".dvc" / "config").read_text() == "[core]\n    analytics = true\n"
    assert (git_store.root / ".dvcignore").read_text() == "*.bak\n.geographer\n.geographer-*\n"
    assert read_contents(git_store.root / "rasters") == before


def test_store_resolves_symbolic_links(git_store, tmp_path):
    (tmp_path / "link").symlink_to(git_store.root)
    with Store(tmp_path / "link") as opened:
        ((sums, path),) = add_tracked_files(opened, "rasters/source", {"a.tif": b"one"})
        opened.save_dvc_state([(path, sums)])
    assert path == git_store.root / "rasters" / "source" / "a.tif"
    assert (git_store.root / "rasters" / ".gitignore").read_text() == "/source\n"


def test_init_repository_without_git(tmp_path):
    run_git(tmp_path, "init", "-q")
    Store.init_repository(tmp_path / "w", scm=False)
    assert "no_scm = True" in (tmp_path / "w" / ".dvc" / "config").read_text()
    assert run_git(tmp_path, "diff", "--cached", "--name-only") == ""


def test_init_repository_rejects_ignored_folder(tmp_path):
    run_git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("build/\n")
    with pytest.raises(ConflictError, match="ignored by your SCM"):
        Store.init_repository(tmp_path / "build" / "w")


def test_store_requires_dvc_repository(tmp_path):
    with pytest.raises(NotFoundError, match="geographer init"):
        Store(tmp_path).cache_path("00" * 16)


def test_closed_store_reopens_with_new_config(plain_store, tmp_path):
    ((sums, path),) = add_tracked_files(plain_store, "rasters/source", {"a.tif": b"one"})
    plain_store.save_dvc_state([(path, sums)])
    plain_store.close()
    assert [file.path for file in psutil.Process().open_files() if str(tmp_path) in file.path] == []
    with (plain_store.root / ".dvc" / "config").open("a") as config:
        config.write(f"[cache]\n    dir = {tmp_path / 'elsewhere'}\n")
    assert plain_store.cache_path(sums.md5).is_relative_to(tmp_path / "elsewhere")


def test_save_dvc_state_closes_database(plain_store):
    ((sums, path),) = add_tracked_files(plain_store, "rasters/source", {"a.tif": b"one"})
    before = {file.path for file in psutil.Process().open_files()}
    plain_store.save_dvc_state([(path, sums)])
    opened = {file.path for file in psutil.Process().open_files()} - before
    assert [path for path in opened if path.endswith(".db")] == []


def test_unreadable_dvc_config_is_named(plain_store):
    (plain_store.root / ".dvc" / "config").write_text("[core\n")
    with pytest.raises(UsageError, match="cannot read the configuration"):
        Store(plain_store.root).cache_path("00" * 16)


def test_store_constructor_imports_no_dvc():
    code = """
import sys
from pathlib import Path
from geographer.storage.dvc.store import Store
Store(Path())
print([name for name in sys.modules if name.startswith("dvc")])
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (5 << 19) + 3])
def test_compute_checksums_of_file(tmp_path, size):
    content = bytes(i * 31 % 251 for i in range(997)) * (size // 997 + 1)
    path, sums = write_file(tmp_path, content[:size])
    assert compute_checksums(path) == sums
