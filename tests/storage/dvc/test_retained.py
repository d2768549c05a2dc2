"""Retained objects: what a tag needs survives real `dvc gc -w`, and plain DVC does not notice them."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.base.errors import CorruptError
from geographer.storage.dvc.dvc_files import compute_address, encode_listing
from geographer.storage.dvc.store import Store
from geographer.storage.history.lock_file import read_lock
from geographer.storage.history.published import KnownRemote, PublishedRevision, remember_remote
from geographer.storage.workspace.required_objects import list_required_objects
from geographer.storage.workspace.tag_objects import list_tag_usage
from tests.sample_history import read_contents, write_scenes

TAGGED = "v1"


def run_command(root, *arguments):
    process = subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def run_dvc(root, *arguments):
    """Run DVC's command line in this process."""
    from dvc.cli import main

    assert main(["--cd", str(root), *arguments]) == 0


def read_status(root):
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return repo.status()


def read_rasters(root):
    return {path: content for path, content in read_contents(root / "rasters").items() if path.endswith(".tif")}


def create_dataset(tmp_path, *, in_git):
    """Create a dataset with rasters tagged v1, which the head has no longer, and return it with the files of v1.

    With `in_git`, it is in a Git repository, and DVC's cache is outside the dataset's folder.
    """
    root = tmp_path / "dataset"
    if in_git:
        root.mkdir()
        run_command(root, "git", "init", "-q")
    dataset = Dataset.init(root, scm=in_git)
    if in_git:
        run_dvc(root, "config", "cache.dir", str(tmp_path / "cache"))
    dataset.add_rasters(write_scenes(tmp_path / "first", "a", "b"))
    if in_git:
        run_command(root, "git", "add", ".")
        run_command(root, "git", "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "v1")
    dataset.tag(TAGGED)
    files = read_rasters(root)
    dataset.remove_rasters(["a"])
    dataset.add_rasters(write_scenes(tmp_path / "second", "c", offset=2, seed=5))
    return dataset, files


def find_cache(root):
    with Store(root) as store:
        return store.cache_path("00" * 16).parents[3]


def list_names(folder):
    """Return the objects in a folder by MD5."""
    return {path.parent.name + path.name for path in folder.rglob("*") if path.is_file()}


def list_tagged(dataset):
    with dataset._unit_of_work.open_revision() as revision:
        position = revision.fetch_value("SELECT tagged_position FROM state.tag")
        return list_required_objects(revision, [position])


def test_tag_survives_dvc_gc(tmp_path):
    dataset, files = create_dataset(tmp_path, in_git=True)
    cache = find_cache(dataset.root)
    run_command(dataset.root, sys.executable, "-m", "dvc", "gc", "-w", "-f")
    assert len(list_tagged(dataset).object_sizes.keys() - list_names(cache / "files")) == 2
    assert read_status(dataset.root) == {}
    assert dataset.verify() == []
    assert dataset.checkout(TAGGED).written == 1
    assert read_rasters(dataset.root) == files
    assert read_status(dataset.root) == {}
    assert list_names(tmp_path / "cache/geographer")
    run_command(dataset.root, "git", "diff", "--exit-code", "--", "rasters/source.dvc")
    shutil.rmtree(dataset.root / "rasters/source")
    run_dvc(dataset.root, "checkout")
    assert read_rasters(dataset.root) == files


@pytest.fixture(scope="module")
def tagged_dataset(tmp_path_factory):
    return create_dataset(tmp_path_factory.mktemp("tagged"), in_git=False)[0].root


@pytest.fixture
def dataset(tagged_dataset, tmp_path):
    """A copy of a dataset whose tag needs a raster that the head has not; only the retained folder has its bytes."""
    root = tmp_path / "dataset"
    # Copies of linked files are linked again, as `cp -a` does.
    run_command(tmp_path, "cp", "-a", str(tagged_dataset), str(root))
    return Dataset.open(root)


def test_retained_objects_are_protected_links(dataset):
    cache = find_cache(dataset.root)
    assert list_names(cache / "geographer/md5") == set(list_tagged(dataset).object_sizes)
    for path in (cache / "geographer/md5").rglob("*"):
        if path.is_file():
            original = cache / "files/md5" / path.parent.name / path.name
            assert path.samefile(original)
            assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_plain_dvc_ignores_retained_objects(dataset, tmp_path):
    cache = find_cache(dataset.root)
    run_dvc(dataset.root, "gc", "-w", "-f")
    retained = list_names(cache / "geographer/md5")
    run_dvc(dataset.root, "remote", "add", "-d", "origin", str(tmp_path / "remote"))
    run_dvc(dataset.root, "push")
    assert list_names(tmp_path / "remote") == list_names(cache / "files")
    shutil.rmtree(cache / "files")
    shutil.rmtree(dataset.root / "rasters/source")
    run_dvc(dataset.root, "pull")
    run_dvc(dataset.root, "gc", "-w", "-c", "-f")
    assert read_status(dataset.root) == {}
    assert list_names(cache / "geographer/md5") == retained


def test_linked_objects_are_not_linked_again(dataset, monkeypatch):
    with Store(dataset.root) as store:
        md5s = list(list_tagged(dataset).object_sizes)
        cached = store.cache_path(md5s[0])
        content = cached.read_bytes()
        cached.unlink()
        cached.write_bytes(content)
        linked: list[str] = []

        def rename(source, target):
            linked.append(target)
            Path(source).rename(target)

        monkeypatch.setattr(os, "replace", rename)
        assert store.retain_objects([*md5s, "0" * 32]) == []
        (link,) = linked
        assert Path(link) == store.retained_objects.find_object(md5s[0])
        assert Path(link).samefile(cached)
        assert not list(store.retained_objects.folder.rglob(".geographer-*"))


def refuse_links(monkeypatch):
    def refuse(_source, _target):
        raise OSError(errno.EPERM, "refused")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr("dvc_objects.fs.system.reflink", refuse)


def test_tag_tells_when_links_are_refused(dataset, monkeypatch, caplog):
    refuse_links(monkeypatch)
    dataset.tag("again", TAGGED)
    assert not caplog.messages
    dataset.tag("v2")
    cache = find_cache(dataset.root)
    assert caplog.messages == [
        f"1 file of tag 'v2' is only in DVC's cache, which dvc gc empties: the file system of '{cache}' allows no "
        "links, and no remote is known to have them. Run geographer push."
    ]


@pytest.mark.parametrize("selection", ["tags", "current"])
def test_tag_that_a_remote_has_needs_no_warning(selection, dataset, monkeypatch, caplog):
    head, lock = dataset.show(), read_lock(dataset.root)
    assert lock is not None
    published = PublishedRevision(
        1, lock.dataset, "main", head.position, head.digest, lock.content_digest, f"{0:032}.dir", selection
    )
    remember_remote(dataset.root, "origin/main", KnownRemote(1, published))
    with Store(dataset.root) as store:
        shutil.rmtree(store.retained_objects.folder)
    refuse_links(monkeypatch)
    dataset.tag("v2")
    assert not caplog.messages
    dataset.tag("again", TAGGED)
    assert len(caplog.messages) == (selection == "current")


def test_usage_of_tags(dataset):
    dataset.tag("v2", "HEAD~1")
    dataset.tag("v3")
    with dataset._unit_of_work.open_revision() as revision, Store(dataset.root) as store:
        tagged = list_tagged(dataset).files
        first, second, third = list_tag_usage(revision, store.root, ())
        assert (first.tag, first.files, first.bytes) == (TAGGED, 2, sum(tagged.values()))
        own = [md5 for md5 in tagged if md5 not in list_required_objects(revision, [revision.position]).files]
        assert (first.own_bytes, second.own_bytes, third.own_bytes) == (tagged[own[0]], 0, 0)
        assert [usage.missing + usage.unprotected for usage in (first, second, third)] == [[], [], []]
        store.delete_objects(own)
        first, *others = list_tag_usage(revision, store.root, ())
        assert (first.missing, first.unprotected) == (own, own)
        assert [usage.missing for usage in others] == [[], []]
        assert list_tag_usage(revision, store.root, own)[0].unprotected == []


def test_altered_retained_object_is_not_used(dataset):
    run_dvc(dataset.root, "gc", "-w", "-f")
    with Store(dataset.root) as store:
        assert store.find_missing_objects(list_tagged(dataset).files) == []
        md5 = next(md5 for md5 in list_tagged(dataset).files if not store.cache_path(md5).exists())
        retained = store.retained_objects.folder / md5[:2] / md5[2:]
        retained.chmod(0o644)
        retained.write_bytes(b"rotten")
        with pytest.raises(CorruptError, match="missing in the cache"):
            dataset.checkout(TAGGED)
        assert not retained.exists()
        assert store.find_missing_objects([md5]) == [md5]


def alter_cached(store, md5, content):
    """Put another file in the place of a cached object; return the path of the object that stays retained."""
    store.cache_path(md5).unlink()
    store.cache_path(md5).write_bytes(content)
    return store.retained_objects.folder / md5[:2] / md5[2:]


def test_altered_cached_object_is_replaced(dataset):
    with Store(dataset.root) as store:
        (md5, other), altered = list(list_tagged(dataset).files)[:2], b"rotten"
        content = store.cache_path(md5).read_bytes()
        retained = alter_cached(store, md5, altered)
        lost = alter_cached(store, other, altered)
        lost.chmod(0o644)
        lost.write_bytes(altered)
        assert store.retain_objects([md5, other]) == []
        assert retained.read_bytes() == content
        assert retained.samefile(store.cache_path(md5))
        assert (lost.exists(), store.cache_path(other).read_bytes()) == (False, altered)


@pytest.mark.parametrize("name", ["../../../../outside/x", "0" * 31, "0" * 32 + ".dirs", "0" * 30 + "/x", "A" * 32, ""])
def test_other_names_are_refused(dataset, name):
    with Store(dataset.root) as store:
        retained = store.retained_objects
        for use in (
            *(store.cache_path, store.find_object, retained.find_object, retained.restore_object),
            *(lambda name, use=use: use([name]) for use in (store.fetch_files, store.list_missing_objects)),
            *(lambda name, use=use: use([name]) for use in (store.retain_objects, store.delete_objects)),
            lambda name: store.write_listing(name, b"[]"),
        ):
            with pytest.raises(CorruptError, match="is not the MD5 of an object"):
                use(name)


@pytest.mark.parametrize("entry", [("../victim", "0" * 32), ("/victim", "0" * 32), ("a", "../x"), ("a", "0" * 31)])
def test_listing_of_other_names_is_not_used(dataset, entry):
    content = encode_listing([(*entry, 1)])
    address = compute_address(content)
    (dataset.root / "history.dvc").write_text(f"outs:\n- md5: {address}\n  path: history\n")
    with Store(dataset.root) as store:
        store.write_listing(address, content)
        assert store.list_tracked_files("history.dvc") is None


def test_restore_copies_where_links_are_refused(dataset, monkeypatch):
    run_dvc(dataset.root, "gc", "-w", "-f")
    refuse_links(monkeypatch)
    assert dataset.checkout(TAGGED).written == 1
    assert dataset.verify() == []
