"""The store against plain DVC: its CLI and its `Repo` must agree with what we wrote without them."""

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

from geographer.base import atomic_files as drafts
from geographer.base.errors import ConflictError, NotFoundError, StorageError, UsageError
from geographer.base.values import Checksums
from geographer.rasters.checksums import compute_checksums
from geographer.storage.dvc import dvc_files as tracking
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
    """A home of its own, so that neither Git nor DVC reads or writes anything of the person who runs this."""
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


def git(root, *arguments):
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout


def dvc(root, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def status(root):
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return repo.status()


def workspace(kind, tmp_path):
    """An initialised workspace: at the top of a Git work tree, below it, or without Git."""
    top = tmp_path / "work tree"
    top.mkdir()
    if kind != "no-scm":
        git(top, "init", "-q")
    return Store.initialise(top / "below" if kind == "subfolder" else top)


@pytest.fixture
def git_store(tmp_path):
    with workspace("git", tmp_path) as opened:
        yield opened


@pytest.fixture
def plain_store(tmp_path):
    with workspace("no-scm", tmp_path) as opened:
        yield opened


def sums_of(content):
    return Checksums(len(content), hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest())


def draft(folder, content, name="draft.tif"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path, sums_of(content)


def ingested(opened, content, name="draft.tif"):
    made = draft(opened.root / ".geographer" / "staging", content, name)
    opened.ingest([made], move=True)
    return made[1]


def gather(opened, folder, files):
    """What a command of ours does: ingest, deliver, track."""
    wanted = []
    for name, content in files.items():
        sums = ingested(opened, content)
        wanted.append((sums, opened.root / folder / name))
    assert opened.restore(wanted, trusted={sums.md5 for sums, _ in wanted}) == []
    opened.track(folder, [(name, sums.md5, sums.size) for name, (sums, _) in zip(files, wanted, strict=True)])
    return wanted


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip_a_byte(path):
    """Changes the last byte and nothing that `stat` shows."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    path.chmod(stat.S_IMODE(before.st_mode))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def leftovers(root):
    return [path for path in root.rglob(drafts.DRAFTS) if path.is_file()]


def add_remote(opened, url):
    config = opened.root / ".dvc" / "config"
    core = config.read_text().replace("[core]", "[core]\n    remote = far")
    config.write_text(f"{core}['remote \"far\"']\n    url = {url}\n")


def push(opened):
    from dvc.repo import Repo

    with Repo(str(opened.root)) as repo:
        assert repo.push() > 0


def empty_cache(opened):
    shutil.rmtree(opened.root / ".dvc" / "cache")


# --- plain DVC agrees -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["git", "subfolder", "no-scm"])
def test_plain_dvc_finds_a_tracked_folder_up_to_date_and_notices_a_change(kind, tmp_path):
    with workspace(kind, tmp_path) as opened:
        gather(opened, "rasters/source", FILES)
        gather(opened, "labels/mask/chips", {"a.tif": b"mask"})
        assert dvc(opened.root, "status") == "Data and pipelines are up to date."
        (opened.root / "rasters" / "source" / "2024-06.tif").write_bytes(b"y")
        (changed,) = status(opened.root).values()
        assert list(changed[0]["changed outs"].values()) == ["modified"]


def test_tracking_writes_what_dvc_add_writes(tmp_path):
    folders = ["rasters/source", "labels/mask/chips", "rasters/2024", "rasters/a: [b]"]
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for root in (ours, theirs):
        root.mkdir()
        git(root, "init", "-q")
        Store.initialise(root).close()
    with Store(ours) as opened:
        for folder in folders:
            gather(opened, folder, FILES | {"its name": folder.encode()})
            for name, content in (FILES | {"its name": folder.encode()}).items():
                draft(theirs / folder, content, name)
    dvc(theirs, "add", *folders)
    shutil.rmtree(ours / ".geographer")
    for root in (ours, theirs):
        shutil.rmtree(root / ".git")
        shutil.rmtree(root / ".dvc" / "tmp")
    assert contents(ours) == contents(theirs)
    assert modes(ours) == modes(theirs)


def modes(folder):
    return {str(path.relative_to(folder)): path.stat().st_mode for path in folder.rglob("*")}


def test_the_listing_of_ten_thousand_files_is_that_of_dvc_data():
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    names = [f"{i % 7}/\u00e9{i * 7919 % 10_000}.tif" if i % 3 else f"{i % 7}-{i}" for i in range(10_000)]
    entries = [(name, hashlib.md5(name.encode()).hexdigest(), i) for i, name in enumerate(names)]
    tree = Tree()
    for name, md5, _ in entries:
        tree.add(tuple(name.split("/")), None, HashInfo("md5", md5))
    assert tracking.listing(entries) == tree.as_bytes()


def test_push_and_pull_into_a_fresh_clone_move_the_bytes(git_store, tmp_path):
    gather(git_store, "rasters/source", FILES)
    add_remote(git_store, tmp_path / "remote")
    git(git_store.root, "add", ".")
    git(git_store.root, "commit", "-qm", "chips")
    dvc(git_store.root, "push")
    git(tmp_path, "clone", "-q", str(git_store.root), "clone")
    assert not (tmp_path / "clone" / "rasters" / "source").exists()
    dvc(tmp_path / "clone", "pull")
    assert contents(tmp_path / "clone" / "rasters" / "source") == FILES


def test_plain_checkout_brings_back_a_deleted_folder(plain_store):
    from dvc.repo import Repo

    gather(plain_store, "rasters/source", FILES)
    shutil.rmtree(plain_store.root / "rasters" / "source")
    with Repo(str(plain_store.root)) as repo:
        repo.checkout()
    assert contents(plain_store.root / "rasters" / "source") == FILES


def test_a_draft_that_a_killed_process_left_in_a_folder_does_not_worry_dvc(plain_store):
    gather(plain_store, "rasters/source", FILES)
    (plain_store.root / "rasters" / "source" / ".geographer-0123").write_bytes(b"half")
    assert status(plain_store.root) == {}


def test_dvc_knows_the_md5s_of_delivered_files_without_hashing(plain_store):
    from dvc.repo import Repo

    wanted = gather(plain_store, "rasters/source", {"a.tif": b"one", "b.tif": b"two"})
    plain_store.save_state([(wanted[0][1], wanted[0][0])])
    with Repo(str(plain_store.root)) as repo:
        known = [repo.state.get(str(path), repo.fs)[1] for _, path in wanted]
    assert known[0].value == wanted[0][0].md5
    assert known[1] is None


# --- the .dvc file --------------------------------------------------------------------------------


def test_tracking_again_follows_the_folder_and_keeps_what_a_person_added(git_store):
    gather(git_store, "rasters/source", {"a.tif": b"one"})
    dvc_file = git_store.root / "rasters" / "source.dvc"
    dvc_file.write_text("# from the archive\n" + dvc_file.read_text() + "  desc: scenes of 2024\n")
    gather(git_store, "rasters/source", {"a.tif": b"one", "b.tif": b"two!"})
    listing = f'[{{"md5": "{sums_of(b"one").md5}", "relpath": "a.tif"}}, '
    listing += f'{{"md5": "{sums_of(b"two!").md5}", "relpath": "b.tif"}}]'
    assert dvc_file.read_text() == (
        f"# from the archive\nouts:\n- md5: {hashlib.md5(listing.encode()).hexdigest()}.dir\n"
        "  size: 7\n  nfiles: 2\n  hash: md5\n  path: source\n  desc: scenes of 2024\n"
    )
    assert status(git_store.root) == {}


def test_a_folder_without_files_is_no_longer_tracked_until_it_has_some(git_store):
    gather(git_store, "rasters/source", FILES)
    gather(git_store, "rasters/chips", FILES)
    folder = git_store.root / "rasters"
    with Store(git_store.root) as opened:
        for _ in range(2):
            gather(opened, "rasters/source", FILES)
            assert sorted((folder / ".gitignore").read_text().splitlines()) == ["/chips", "/source"]
            opened.track("rasters/source", [])
            assert (folder / ".gitignore").read_text() == "/chips\n"
            assert [path.name for path in folder.glob("*.dvc")] == ["chips.dvc"]
        opened.track("rasters/chips", [])
    assert list(folder.glob("*.dvc")) == []
    assert not (folder / ".gitignore").exists()


def test_git_gets_what_was_written_where_dvc_stages_by_itself(git_store):
    with (git_store.root / ".dvc" / "config").open("a") as config:
        config.write("    autostage = true\n")
    gather(git_store, "rasters/source", FILES)
    staged = git(git_store.root, "diff", "--cached", "--name-only", "rasters")
    assert staged.splitlines() == ["rasters/.gitignore", "rasters/source.dvc"]


def test_tracking_mends_a_listing_that_the_cache_has_wrong(plain_store):
    gather(plain_store, "rasters/source", FILES)
    text = (plain_store.root / "rasters" / "source.dvc").read_text()
    listing = plain_store.path_of(text.split("md5: ")[1].split()[0])
    whole = listing.read_bytes()
    flip_a_byte(listing)
    gather(plain_store, "rasters/source", FILES)
    assert listing.read_bytes() == whole
    assert stat.S_IMODE(listing.stat().st_mode) == 0o444


def test_without_git_nothing_is_ignored(plain_store):
    gather(plain_store, "rasters/source", FILES)
    plain_store.ignore(".geographer")
    assert [path for path in plain_store.root.rglob(".gitignore") if ".dvc" not in path.parts] == []


def test_ignoring_a_path_twice_writes_one_line(git_store):
    (git_store.root / ".gitignore").write_text("*.bak")
    git_store.ignore(".geographer")
    git_store.ignore(".geographer")
    assert (git_store.root / ".gitignore").read_text() == "*.bak\n/.geographer\n"


def test_a_folder_that_git_tracks_is_refused(git_store):
    draft(git_store.root / "rasters" / "source", b"in Git", "a.tif")
    git(git_store.root, "add", "-f", "rasters")
    with pytest.raises(ConflictError, match="git rm -r --cached"):
        git_store.track("rasters/source", [("a.tif", sums_of(b"in Git").md5, 6)])
    assert not (git_store.root / "rasters" / "source.dvc").exists()


def test_a_dvc_file_that_git_ignores_is_refused(git_store):
    (git_store.root / ".gitignore").write_text("rasters/\n")
    with pytest.raises(ConflictError, match=r"source\.dvc' is git-ignored"):
        git_store.track("rasters/source", [("a.tif", sums_of(b"one").md5, 3)])


# --- locks and other processes --------------------------------------------------------------------


@pytest.fixture
def held_lock(plain_store, monkeypatch):
    """DVC's lock in somebody else's hands; DVC's own patience cut from 3 s."""
    import zc.lockfile
    from dvc import lock

    monkeypatch.setattr(lock, "DEFAULT_TIMEOUT", 0.06)
    plain_store.path_of("00" * 16)
    held = zc.lockfile.LockFile(str(plain_store.root / ".dvc" / "tmp" / "lock"))
    yield held
    held.close()


def test_tracking_waits_for_another_dvc_command(plain_store, held_lock):
    release = threading.Timer(0.4, held_lock.close)
    release.start()
    plain_store.track("rasters/source", [("a.tif", sums_of(b"one").md5, 3)])
    release.join()
    assert (plain_store.root / "rasters" / "source.dvc").exists()


def test_tracking_gives_up_when_the_lock_is_never_released(plain_store, held_lock, monkeypatch):
    monkeypatch.setattr(tracking, "PATIENCE_S", 0.2)
    with pytest.raises(StorageError, match="held the lock"):
        plain_store.track("rasters/source", [("a.tif", sums_of(b"one").md5, 3)])
    assert not (plain_store.root / "rasters" / "source.dvc").exists()


GATHER_IN_ANOTHER_PROCESS = """
import hashlib, sys
from pathlib import Path
from geographer.rasters.checksums import checksums_of_file
from geographer.storage.dvc.store import Store

root, who = Path(sys.argv[1]), sys.argv[2]
with Store(root) as store:
    entries = []
    for i in range(30):
        path = root / f"{who}{i}.tmp"
        path.write_bytes(bytes([i]) * 1000)
        entries.append((path, checksums_of_file(path)))
    store.ingest(entries, move=True)
    names = [(f"{i}.tif", sums) for i, (_, sums) in enumerate(entries)]
    store.restore([(sums, root / "rasters" / "source" / name) for name, sums in names])
    for _ in range(5):
        store.track("rasters/source", [(name, sums.md5, sums.size) for name, sums in names])
"""


def test_two_processes_that_store_the_same_files_at_once_both_succeed(plain_store):
    command = [sys.executable, "-c", GATHER_IN_ANOTHER_PROCESS, str(plain_store.root)]
    both = [subprocess.Popen([*command, who], stderr=subprocess.PIPE) for who in "ab"]
    for process in both:
        _, complaints = process.communicate()
        assert process.returncode == 0, complaints.decode()
    assert status(plain_store.root) == {}
    assert leftovers(plain_store.root) == []


# --- into the cache -------------------------------------------------------------------------------


def test_our_drafts_are_moved_into_the_cache(plain_store):
    path, sums = draft(plain_store.root / "staging", b"made by us")
    inode = path.stat().st_ino
    plain_store.ingest([(path, sums)], move=True)
    kept = plain_store.path_of(sums.md5)
    assert (kept.read_bytes(), stat.S_IMODE(kept.stat().st_mode)) == (b"made by us", 0o444)
    assert kept.stat().st_ino == inode
    assert not path.exists()


def test_drafts_on_another_file_system_are_copied_and_removed(plain_store, monkeypatch):
    path, sums = draft(plain_store.root / "staging", b"made elsewhere")
    replace = Path.replace

    def refuse(self, target):
        if self == path:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    plain_store.ingest([(path, sums)], move=True)
    kept = plain_store.path_of(sums.md5)
    assert (kept.read_bytes(), stat.S_IMODE(kept.stat().st_mode)) == (b"made elsewhere", 0o444)
    assert not path.exists()


def test_a_persons_files_are_copied_and_stay_as_they_are(plain_store, tmp_path):
    path, sums = draft(tmp_path / "archive", b"somebody's")
    path.chmod(0o640)
    plain_store.ingest([(path, sums)])
    kept = plain_store.path_of(sums.md5)
    assert (kept.read_bytes(), stat.S_IMODE(kept.stat().st_mode)) == (b"somebody's", 0o444)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"somebody's", 0o640)
    assert kept.stat().st_ino != path.stat().st_ino
    before = kept.stat()
    plain_store.ingest([(path, sums)])
    assert kept.stat() == before


@pytest.mark.parametrize("move", [True, False])
@pytest.mark.parametrize("harm", [flip_a_byte, lambda kept: kept.unlink(), lambda kept: kept.touch()])
def test_ingesting_again_mends_the_cache(plain_store, tmp_path, move, harm):
    sums = ingested(plain_store, b"as it should be")
    harm(plain_store.path_of(sums.md5))
    plain_store.ingest([draft(tmp_path, b"as it should be")], move=move)
    assert plain_store.path_of(sums.md5).read_bytes() == b"as it should be"


@pytest.mark.parametrize("move", [True, False])
def test_a_file_that_changed_since_it_was_hashed_is_refused(plain_store, tmp_path, move):
    path, sums = draft(tmp_path, b"before")
    path.write_bytes(b"after it" if move else b"after!")
    with pytest.raises(ConflictError, match=r"draft\.tif' changed"):
        plain_store.ingest([(path, sums)], move=move)
    assert not plain_store.path_of(sums.md5).exists()
    assert leftovers(plain_store.root) == []


@pytest.mark.parametrize("move", [True, False])
def test_a_file_that_is_gone_is_named(plain_store, tmp_path, move):
    with pytest.raises(NotFoundError, match=r"gone\.tif"):
        plain_store.ingest([(tmp_path / "gone.tif", sums_of(b"gone"))], move=move)


def half_a_copy(source, target):
    content = Path(source).read_bytes()
    Path(target).write_bytes(content[: len(content) // 2])
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_named_and_leaves_nothing_torn(plain_store, tmp_path, monkeypatch):
    path, sums = draft(tmp_path / "archive", b"too large" * 1000)
    with monkeypatch.context() as full:
        full.setattr(shutil, "copyfile", half_a_copy)
        with pytest.raises(StorageError, match="is full"):
            plain_store.ingest([(path, sums)])
    assert not plain_store.path_of(sums.md5).exists()
    assert leftovers(plain_store.root) == []
    plain_store.ingest([(path, sums)])
    assert plain_store.check([sums]) == {}


def test_a_disk_that_fills_while_delivering_leaves_the_old_file(plain_store, monkeypatch):
    sums = ingested(plain_store, b"the new one")
    path, _ = draft(plain_store.root / "rasters" / "source", b"the old one", "a.tif")
    monkeypatch.setattr(shutil, "copyfile", half_a_copy)
    with pytest.raises(StorageError, match=r"a\.tif' is full"):
        plain_store.restore([(sums, path)])
    assert contents(plain_store.root / "rasters") == {"source/a.tif": b"the old one"}


KILLED_WHILE_COPYING = """
import os, shutil, signal, sys
from pathlib import Path
from geographer.rasters.checksums import checksums_of_file
from geographer.storage.dvc.store import Store

def die_halfway(source, target):
    content = Path(source).read_bytes()
    Path(target).write_bytes(content[: len(content) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

shutil.copyfile = die_halfway
path = Path(sys.argv[2])
Store(Path(sys.argv[1])).ingest([(path, checksums_of_file(path))])
"""


def test_a_process_killed_while_copying_leaves_no_torn_object_and_can_be_repeated(plain_store, tmp_path):
    path, sums = draft(tmp_path / "archive", b"a large scene" * 1000)
    command = [sys.executable, "-c", KILLED_WHILE_COPYING, str(plain_store.root), str(path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert leftovers(plain_store.root) != []
    assert plain_store.check([sums]) == {sums.md5: "missing"}
    plain_store.ingest([(path, sums)])
    assert plain_store.check([sums]) == {}


# --- out of the cache -----------------------------------------------------------------------------


def test_one_flipped_byte_in_the_cache_is_found_and_not_delivered(plain_store):
    good, bad, lost = (ingested(plain_store, content) for content in (b"good", b"bad", b"lost"))
    flip_a_byte(plain_store.path_of(bad.md5))
    plain_store.path_of(lost.md5).unlink()
    place = plain_store.root / "rasters" / "source"
    draft(place, b"what was here", "bad.tif")
    wanted = [(bad, place / "bad.tif"), (lost, place / "lost.tif"), (good, place / "good.tif")]
    assert plain_store.restore(wanted) == [
        (place / "bad.tif", bad, "altered"),
        (place / "lost.tif", lost, "missing"),
    ]
    assert contents(place) == {"good.tif": b"good", "bad.tif": b"what was here"}
    assert plain_store.check([good, bad, lost]) == {bad.md5: "altered", lost.md5: "missing"}


def test_a_file_cut_short_is_altered(plain_store):
    sums = ingested(plain_store, b"all of it")
    kept = plain_store.path_of(sums.md5)
    kept.chmod(0o644)
    os.truncate(kept, 4)
    assert plain_store.check([sums]) == {sums.md5: "altered"}
    assert plain_store.restore([(sums, plain_store.root / "a.tif")], trusted={sums.md5}) == [
        (plain_store.root / "a.tif", sums, "altered")
    ]


def test_what_this_process_has_just_stored_is_delivered_without_hashing(plain_store, monkeypatch):
    sums = ingested(plain_store, b"fresh")
    monkeypatch.delattr(hashlib, "file_digest")
    assert plain_store.restore([(sums, plain_store.root / "a.tif")], trusted={sums.md5}) == []
    with pytest.raises(AttributeError):
        plain_store.restore([(sums, plain_store.root / "a.tif")])


def test_delivery_replaces_a_file_and_never_writes_into_it(plain_store, tmp_path):
    sums = ingested(plain_store, b"new")
    path, _ = draft(plain_store.root / "rasters", b"old", "a.tif")
    other_name = tmp_path / "hard link"
    other_name.hardlink_to(path)
    assert plain_store.restore([(sums, path)]) == []
    assert (path.read_bytes(), other_name.read_bytes()) == (b"new", b"old")
    assert path.stat().st_mode & stat.S_IWUSR


def test_links_lead_into_the_cache_and_leave_no_drafts_behind(plain_store):
    sums = ingested(plain_store, b"linked")
    path = plain_store.root / "out" / "a.tif"
    for _ in range(2):
        assert plain_store.restore([(sums, path)], link=True) == []
        assert path.samefile(plain_store.path_of(sums.md5))
    assert contents(path.parent) == {"a.tif": b"linked"}


def test_a_link_to_altered_bytes_is_not_made(plain_store):
    sums = ingested(plain_store, b"linked")
    flip_a_byte(plain_store.path_of(sums.md5))
    path = plain_store.root / "out" / "a.tif"
    assert plain_store.restore([(sums, path)], link=True) == [(path, sums, "altered")]
    assert contents(path.parent) == {}


def test_where_links_are_refused_files_are_copied(plain_store, monkeypatch):
    from dvc_objects.fs import system

    def refuse(_source, _target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(system, "hardlink", refuse)
    monkeypatch.setattr(system, "symlink", refuse)
    wanted = [(ingested(plain_store, content), plain_store.root / content.decode()) for content in (b"a", b"b")]
    assert plain_store.restore(wanted, link=True) == []
    assert [path.read_bytes() for _, path in wanted] == [b"a", b"b"]
    assert [path.stat().st_nlink for _, path in wanted] == [1, 1]


@pytest.mark.parametrize("kind", ["hardlink", "symlink", "copy"])
def test_the_repositorys_link_type_and_cache_folder_are_respected(tmp_path, kind):
    Store.initialise(tmp_path / "w")
    with (tmp_path / "w" / ".dvc" / "config").open("a") as config:
        config.write(f"[cache]\n    dir = {tmp_path / 'shared cache'}\n    type = {kind}\n")
    with Store(tmp_path / "w") as opened:
        ((sums, path),) = gather(opened, "rasters/source", {"a.tif": b"shared"})
        kept = opened.path_of(sums.md5)
    assert kept == tmp_path / "shared cache" / "files" / "md5" / sums.md5[:2] / sums.md5[2:]
    assert (path.is_symlink(), kept.stat().st_nlink) == (kind == "symlink", 2 if kind == "hardlink" else 1)
    assert path.read_bytes() == b"shared"
    assert status(tmp_path / "w") == {}


def test_a_cache_shared_by_a_group_keeps_its_folders_writable_for_the_group(plain_store):
    with (plain_store.root / ".dvc" / "config").open("a") as config:
        config.write("[cache]\n    shared = group\n")
    with Store(plain_store.root) as opened:
        gather(opened, "rasters/source", FILES)
    found = modes(plain_store.root / ".dvc" / "cache").values()
    assert {stat.S_IMODE(mode) for mode in found} == {0o2775, 0o444}


# --- the remote -----------------------------------------------------------------------------------


def test_what_the_cache_lacks_comes_from_the_remote(plain_store, tmp_path):
    wanted = gather(plain_store, "rasters/source", FILES)
    add_remote(plain_store, tmp_path / "remote")
    push(plain_store)
    empty_cache(plain_store)
    shutil.rmtree(plain_store.root / "rasters" / "source")
    assert plain_store.restore(wanted) == []
    assert contents(plain_store.root / "rasters" / "source") == FILES
    assert plain_store.check([sums for sums, _ in wanted]) == {}
    kept = plain_store.path_of(wanted[0][0].md5)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o444


def test_one_flipped_byte_in_the_remote_never_reaches_the_cache(plain_store, tmp_path):
    wanted = gather(plain_store, "rasters/source", {"a.tif": b"one", "b.tif": b"two", "c.tif": b"three"})
    (one, path_of_one), (two, _), (three, path_of_three) = wanted
    add_remote(plain_store, tmp_path / "remote")
    push(plain_store)
    empty_cache(plain_store)
    shutil.rmtree(plain_store.root / "rasters" / "source")
    flip_a_byte(tmp_path / "remote" / "files" / "md5" / one.md5[:2] / one.md5[2:])
    (tmp_path / "remote" / "files" / "md5" / three.md5[:2] / three.md5[2:]).unlink()
    assert plain_store.restore(wanted) == [(path_of_one, one, "altered"), (path_of_three, three, "missing")]
    assert contents(plain_store.root / "rasters" / "source") == {"b.tif": b"two"}
    assert plain_store.fetch([one.md5, two.md5, three.md5]) == {one.md5: "altered", three.md5: "missing"}
    assert plain_store.check([one, two]) == {one.md5: "missing"}
    assert leftovers(plain_store.root) == []


def test_without_a_remote_files_are_missing(plain_store):
    sums = sums_of(b"never stored")
    assert plain_store.fetch([sums.md5]) == {sums.md5: "missing"}


def test_a_remote_set_while_the_store_is_open_is_used(plain_store, tmp_path):
    ((sums, _),) = gather(plain_store, "rasters/source", {"a.tif": b"one"})
    far = tmp_path / "remote" / "files" / "md5" / sums.md5[:2]
    draft(far, b"one", sums.md5[2:])
    empty_cache(plain_store)
    assert plain_store.fetch([sums.md5]) == {sums.md5: "missing"}
    add_remote(plain_store, tmp_path / "remote")
    assert plain_store.fetch([sums.md5]) == {}


@pytest.mark.parametrize("url", ["broken", "s3://bucket/folder"])
def test_a_remote_that_fails_is_no_missing_file(plain_store, tmp_path, url):
    here, there = sums_of(b"here"), sums_of(b"there")
    if url == "broken":
        url = tmp_path / "remote"
        draft(url / "files" / "md5" / here.md5[:2], b"here", here.md5[2:])
        (url / "files" / "md5" / there.md5[:2] / there.md5[2:]).mkdir(parents=True)
    add_remote(plain_store, url)
    with pytest.raises(StorageError, match="remote did not deliver"):
        plain_store.fetch([here.md5, there.md5])
    assert leftovers(plain_store.root) == []
    assert not plain_store.path_of(there.md5).exists()


# --- opening --------------------------------------------------------------------------------------


def test_a_new_repository_is_staged_and_without_analytics(git_store):
    assert (git_store.root / ".dvc" / "config").read_text() == "[core]\n    analytics = False\n"
    assert (git_store.root / ".dvcignore").read_text().splitlines()[-2:] == [".geographer", ".geographer-*"]
    staged = git(git_store.root, "status", "--porcelain")
    assert staged == "A  .dvc/.gitignore\nA  .dvc/config\nA  .dvcignore\n"


INITIALISE_AND_TRACK = """
from pathlib import Path
from geographer.storage.dvc.store import Store

with Store.initialise(Path()) as store:
    store.ignore(".geographer")
    store.track("rasters/source", [("a.tif", "0" * 32, 1)])
    store.fetch(["0" * 32])
"""


def test_dvc_says_nothing(tmp_path):
    git(tmp_path, "init", "-q")
    command = [sys.executable, "-c", INITIALISE_AND_TRACK]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_repository_that_is_there_is_taken_as_it_is(git_store):
    gather(git_store, "rasters/source", FILES)
    (git_store.root / ".dvcignore").write_text("*.bak")
    (git_store.root / ".dvc" / "config").write_text("[core]\n    analytics = true\n")
    before = contents(git_store.root / "rasters")
    Store.initialise(git_store.root, scm=False)
    Store.initialise(git_store.root)
    assert (git_store.root / ".dvc" / "config").read_text() == "[core]\n    analytics = true\n"
    assert (git_store.root / ".dvcignore").read_text() == "*.bak\n.geographer\n.geographer-*\n"
    assert contents(git_store.root / "rasters") == before


def test_a_workspace_reached_by_a_symbolic_link_is_the_same_workspace(git_store, tmp_path):
    (tmp_path / "link").symlink_to(git_store.root)
    with Store(tmp_path / "link") as opened:
        ((sums, path),) = gather(opened, "rasters/source", {"a.tif": b"one"})
        opened.save_state([(path, sums)])
    assert path == git_store.root / "rasters" / "source" / "a.tif"
    assert (git_store.root / "rasters" / ".gitignore").read_text() == "/source\n"


def test_git_can_be_declined(tmp_path):
    git(tmp_path, "init", "-q")
    Store.initialise(tmp_path / "w", scm=False)
    assert "no_scm = True" in (tmp_path / "w" / ".dvc" / "config").read_text()
    assert git(tmp_path, "diff", "--cached", "--name-only") == ""


def test_a_folder_that_git_ignores_is_refused(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("build/\n")
    with pytest.raises(ConflictError, match="ignored by your SCM"):
        Store.initialise(tmp_path / "build" / "w")


def test_a_folder_without_dvc_is_no_store(tmp_path):
    with pytest.raises(NotFoundError, match="geographer init"):
        Store(tmp_path).path_of("00" * 16)


def test_a_closed_store_holds_no_file_open_and_opens_again_with_the_settings_of_then(plain_store, tmp_path):
    ((sums, path),) = gather(plain_store, "rasters/source", {"a.tif": b"one"})
    plain_store.save_state([(path, sums)])
    plain_store.close()
    assert [file.path for file in psutil.Process().open_files() if str(tmp_path) in file.path] == []
    with (plain_store.root / ".dvc" / "config").open("a") as config:
        config.write(f"[cache]\n    dir = {tmp_path / 'elsewhere'}\n")
    assert plain_store.path_of(sums.md5).is_relative_to(tmp_path / "elsewhere")


def test_telling_dvc_md5s_leaves_its_database_closed(plain_store):
    ((sums, path),) = gather(plain_store, "rasters/source", {"a.tif": b"one"})
    plain_store.save_state([(path, sums)])
    opened = [file.path for file in psutil.Process().open_files() if file.path.endswith(".db")]
    assert [path for path in opened if not path.endswith("proj.db")] == []


def test_settings_that_dvc_cant_read_are_named(plain_store):
    (plain_store.root / ".dvc" / "config").write_text("[core\n")
    with pytest.raises(UsageError, match="can't read the settings"):
        Store(plain_store.root).path_of("00" * 16)


def test_constructing_a_store_imports_no_dvc():
    code = """
import sys
from pathlib import Path
from geographer.storage.dvc.store import Store
Store(Path())
print([name for name in sys.modules if name.startswith("dvc")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (5 << 19) + 3])
def test_the_checksums_of_a_file_are_those_of_its_bytes(tmp_path, size):
    content = bytes(i * 31 % 251 for i in range(997)) * (size // 997 + 1)
    path, sums = draft(tmp_path, content[:size])
    assert compute_checksums(path) == sums
