"""Garbage collection leaves what an oracle computes from the log, and every revision that is kept can be restored."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import threading

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError
from geographer.cli import geographer_command
from geographer.sharing.collect_garbage import ObjectCount
from geographer.storage.database.dataset_folder import exclude_staging, make_staging_folder
from geographer.storage.dvc.folder_files import FolderFiles
from geographer.storage.dvc.remote import open_remote
from geographer.storage.dvc.store import Store
from geographer.storage.history.lock_file import read_lock
from geographer.storage.history.published import PublishedRevision, encode_published
from tests.sample_history import write_scenes
from tests.sample_team import LONG

NAMES = ("a", "b")
VARIANTS = (1, 2, 3)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Scenes by name and variant: small files that differ."""
    folder = tmp_path_factory.mktemp("scenes")
    return {
        (name, variant): write_scenes(folder / str(variant), name, seed=10 * variant + ord(name))[0]
        for name in NAMES
        for variant in VARIANTS
    }


def list_names(folder):
    return {path.parent.name + path.name for path in folder.rglob("*") if path.is_file()}


def list_stored(root):
    """Return the objects in DVC's cache and among the retained objects."""
    return list_names(root / ".dvc/cache/files/md5") | list_names(root / ".dvc/cache/geographer/md5")


def replay_log(dataset):
    """Return the files of each position, by path with their MD5s, and the positions that tags name."""
    with dataset._unit_of_work.database.open_connection(log="r") as connection:
        head = connection.execute("SELECT max(position) FROM log.chain WHERE branch = 'main'").fetchone()[0]
        query = (
            "SELECT position, raster_id, change, path, md5 FROM log.raster_change JOIN log.chain USING (event_key) "
            "ORDER BY position, ordinal"
        )
        rows = connection.execute(query).fetchall() if head > 1 else []
        query = "SELECT payload FROM log.event WHERE kind = 'revision_tagged'"
        tagged = [json.loads(text)["tag"]["position"] for (text,) in connection.execute(query).fetchall()]
    files: dict[str, tuple[str, str]] = {}
    revisions: dict[int, dict[str, str]] = {0: {}}
    for position in range(1, head + 1):
        for _, raster_id, change, path, md5 in (row for row in rows if row[0] == position):
            files.pop(raster_id, None)
            if change != "removed":
                files[raster_id] = (path, md5)
        revisions[position] = dict(files.values())
    return revisions, tagged


def list_needed(files):
    """Return the objects of a revision: its files, and the listing of each folder as DVC writes it."""
    folders: dict[str, list[dict[str, str]]] = {}
    for path, md5 in sorted(files.items()):
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, []).append({"md5": md5, "relpath": name})
    listings = [json.dumps(rows).encode() for rows in folders.values()]
    return set(files.values()) | {hashlib.md5(listing).hexdigest() + ".dir" for listing in listings}


def list_history(root):
    """Return the objects of the history folder."""
    dvc_file = root / "history.dvc"
    if not dvc_file.exists():
        return set()
    (address,) = re.findall(r"md5: (\S+)", dvc_file.read_text())
    listing = json.loads((root / ".dvc/cache/files/md5" / address[:2] / address[2:]).read_bytes())
    return {address, *(row["md5"] for row in listing)}


CHANGES = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(NAMES), st.sampled_from(VARIANTS)),
    st.tuples(st.just("put"), st.sampled_from(NAMES), st.sampled_from(VARIANTS)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES), st.none()),
    st.tuples(st.just("tag"), st.integers(0, 9), st.none()),
    st.tuples(st.just("checkout"), st.integers(0, 9), st.none()),
    st.tuples(st.just("gc"), st.sampled_from(["tags", "all"]), st.none()),
)


def apply_change(dataset, scenes, present, change, number):
    """Apply a change to a dataset that has the rasters `present`."""
    kind, name, variant = change
    head = dataset.show().position
    if kind in ("put", "remove", "tag") and dataset._unit_of_work.workspace_position != head:
        dataset.checkout("HEAD")
    if kind in ("put", "remove"):
        if name in present:
            dataset.remove_rasters([name])
            present.discard(name)
        if kind == "put":
            dataset.add_rasters([scenes[name, variant]])
            present.add(name)
    elif kind == "tag":
        dataset.tag(f"v{number}", max(1, head - name))
    elif kind == "checkout":
        # What an earlier collection deleted cannot be restored.
        target = max(1, head - name)
        if list_needed(replay_log(dataset)[0][target]) <= list_stored(dataset.root):
            dataset.checkout(target)
    else:
        dataset.collect_garbage(revisions=name)


@settings(max_examples=6 if LONG else 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=st.lists(CHANGES, min_size=4, max_size=8), selection=st.sampled_from(["tags", "tags", "all"]))
def test_store_has_what_is_reached(changes, selection, empty_dataset, scenes, tmp_path_factory):
    root = tmp_path_factory.mktemp("random") / "dataset"
    dataset = Dataset.open(shutil.copytree(empty_dataset, root))
    present: set[str] = set()
    for number, change in enumerate(changes):
        apply_change(dataset, scenes, present, change, number)
    before = list_stored(root)
    planned = dataset.collect_garbage(revisions=selection, dry_run=True)
    assert list_stored(root) == before
    assert dataset.collect_garbage(revisions=selection) == planned
    revisions, tagged = replay_log(dataset)
    shown = dataset._unit_of_work.workspace_position
    kept = range(1, len(revisions)) if selection == "all" else sorted({len(revisions) - 1, shown, *tagged})
    expected = list_history(root).union(*(list_needed(revisions[position]) for position in kept))
    # What an earlier collection deleted is gone.
    assert list_stored(root) == expected & before
    assert expected <= before or any(change[0] == "gc" for change in changes)
    assert planned.deleted.objects == len(before - expected)
    for position in kept:
        if list_needed(revisions[position]) <= before:
            dataset.checkout(position, to=root.parent / f"at {position}")
            for path, md5 in revisions[position].items():
                assert hashlib.md5((root.parent / f"at {position}" / path).read_bytes()).hexdigest() == md5
    assert dataset.collect_garbage(revisions=selection).deleted == ObjectCount(0, 0)


@pytest.fixture(scope="module")
def template(empty_dataset, scenes, tmp_path_factory):
    """A dataset with a tag, a removed raster that only the tag needs, and one that nothing needs."""
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path_factory.mktemp("history") / "dataset"))
    dataset.add_rasters([scenes["a", 1]])
    dataset.tag("v1")
    dataset.remove_rasters(["a"])
    dataset.add_rasters([scenes["a", 2]])
    dataset.remove_rasters(["a"])
    dataset.add_rasters([scenes["b", 1]])
    return dataset.root


@pytest.fixture
def history(template, tmp_path):
    """A copy of the template, with its links."""
    subprocess.run(["cp", "-a", str(template), str(tmp_path / "dataset")], check=True)
    return Dataset.open(tmp_path / "dataset")


def md5_of(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_tagged_files_stay(history, scenes):
    history.collect_garbage()
    stored = list_stored(history.root)
    assert {md5_of(scenes["a", 1]), md5_of(scenes["b", 1])} <= stored
    assert md5_of(scenes["a", 2]) not in stored
    history.checkout("v1")
    assert history.verify() == []


@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")
def test_files_of_other_dvc_files_stay(history):
    from dvc.repo import Repo

    root = history.root
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    with Repo(str(root), config={"core": {"no_scm": False}}) as repo, repo.config.edit("repo") as edited:
        edited["core"].pop("no_scm", None)
    commit = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qam"]
    subprocess.run(["git", "checkout", "-qb", "side"], cwd=root, check=True)
    contents = {}
    with Repo(str(root)) as repo:
        for text in ("old", "new", "present"):
            (root / "models").mkdir(exist_ok=True)
            (root / "models/net").write_text(text)
            (root / "weights").write_text(f"{text} weights")
            repo.add([str(root / "models"), str(root / "weights")])
            contents[text] = {md5_of(root / "models/net"), md5_of(root / "weights")}
            if text != "present":
                subprocess.run(["git", "add", "models.dvc", "weights.dvc"], cwd=root, check=True)
                subprocess.run([*commit, text], cwd=root, check=True)
    history.collect_garbage()
    stored = list_stored(root)
    assert all(names <= stored for names in contents.values())
    (root / "models.dvc").write_text("outs: [")
    with pytest.raises(ConflictError, match="files of the workspace"):
        history.collect_garbage()
    assert list_stored(root) == stored


def move_cache(root, cache):
    """Let a dataset use a cache outside its folder, with the objects that it has."""
    from dvc.repo import Repo

    subprocess.run(["cp", "-a", f"{root}/.dvc/cache/.", str(cache)], check=True)
    shutil.rmtree(root / ".dvc/cache")
    with Repo(str(root)) as repo, repo.config.edit() as edited:
        edited["cache"] = {"dir": str(cache)}


@pytest.mark.parametrize("link", [False, True], ids=["setting", "symbolic link"])
def test_shared_cache_keeps_unknown_objects(history, scenes, tmp_path, link):
    cache = tmp_path / "cache"
    if link:
        shutil.move(history.root / ".dvc/cache", cache)
        (history.root / ".dvc/cache").symlink_to(cache)
    else:
        move_cache(history.root, cache)
    foreign = cache / "files/md5" / "00" / ("f" * 30)
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_bytes(b"of another project")
    report = Dataset.open(history.root).collect_garbage()
    assert foreign.exists()
    assert report.unknown == ObjectCount(1, 18)
    assert md5_of(scenes["a", 2]) not in list_names(cache)
    assert md5_of(scenes["a", 1]) in list_names(cache)


def test_shared_cache_keeps_tags_of_others(history, scenes, tmp_path):
    """Another dataset's tag needs a file that this one had; withdrawn files are deleted all the same."""
    cache = tmp_path / "cache"
    other = Dataset.init(tmp_path / "other", scm=False)
    for root in (history.root, other.root):
        move_cache(root, cache)
    history, other = Dataset.open(history.root), Dataset.open(other.root)
    other.add_rasters([scenes["a", 2], scenes["b", 3]])
    other.tag("v1")
    planned = history.collect_garbage(dry_run=True)
    assert history.collect_garbage() == planned
    assert planned.deleted.objects > 0
    assert other.verify(all_tags=True) == []
    for folder in ("files", "geographer"):
        assert {md5_of(scenes["a", 2]), md5_of(scenes["b", 3])} <= list_names(cache / folder)
    history.withdraw_rasters(["a"], reason="the licence ended")
    history.collect_garbage()
    assert md5_of(scenes["a", 2]) not in list_names(cache)


def test_tags_are_retained_again(history, scenes):
    retained = history.root / ".dvc/cache/geographer/md5"
    before = list_names(retained)
    shutil.rmtree(retained)
    history.collect_garbage(dry_run=True)
    assert not retained.exists()
    history.collect_garbage()
    assert md5_of(scenes["a", 1]) in list_names(retained) == before


def test_shown_revision_stays(history, scenes):
    with_second_version = 5
    history.checkout(with_second_version)
    (history.root / "rasters/source.dvc").unlink()
    history.collect_garbage()
    assert md5_of(scenes["a", 2]) in list_stored(history.root)
    history.checkout("HEAD")
    history.collect_garbage()
    assert md5_of(scenes["a", 2]) not in list_stored(history.root)


def test_fetched_branch_stays(history, scenes, tmp_path):
    subprocess.run(["cp", "-a", str(history.root), str(tmp_path / "hers")], check=True)
    hers = Dataset.open(tmp_path / "hers")
    hers.add_rasters([scenes["a", 3]])
    publish_head(hers, tmp_path / "remote")
    shutil.copy(hers.root / ".dvc/config", history.root / ".dvc/config")
    history.tag("mine")
    history.fetch("origin")
    fetched = list_stored(history.root) & list_history(hers.root)
    history.collect_garbage()
    revisions, _ = replay_log(hers)
    assert list_needed(revisions[max(revisions)]) | fetched <= list_stored(history.root)


def test_command_prints_counts(history):
    runner = CliRunner()
    before = list_stored(history.root)
    planned = runner.invoke(geographer_command, ["-C", str(history.root), "gc", "--dry-run", "--json"])
    report = json.loads(planned.output)
    assert report["dry_run"]
    assert report["deleted_objects"] + report["kept_objects"] == len(before)
    assert report["deleted_bytes"] > 0
    done = runner.invoke(geographer_command, ["-C", str(history.root), "gc"])
    assert done.output.startswith(f"{report['deleted_objects']} objects (")
    assert f"deleted, {report['kept_objects']} objects (" in done.output
    assert len(list_stored(history.root)) == report["kept_objects"]


def test_files_of_running_commands_stay(history):
    before = list_stored(history.root)
    with make_staging_folder(history.root), pytest.raises(ConflictError, match="another command is changing"):
        history.collect_garbage()
    assert list_stored(history.root) == before


def publish_head(dataset, remote_folder, selection="tags"):
    """Publish the head of a dataset on the remote `origin`, with every object of the dataset, as a push does."""
    from dvc.repo import Repo

    with Repo(str(dataset.root)) as repo, repo.config.edit() as edited:
        edited["remote"] = {"origin": {"url": str(remote_folder)}}
    lock = read_lock(dataset.root)
    assert lock is not None
    (history,) = (name for name in list_history(dataset.root) if name.endswith(".dir"))
    head = dataset.show()
    published = PublishedRevision(
        1, lock.dataset, "main", head.position, head.digest, lock.content_digest, history, selection
    )
    with open_remote(dataset.root, "origin") as remote, Store(dataset.root) as store:
        remote.upload_objects({name: store.find_object(name) for name in list_stored(dataset.root)})
        remote.read_head("main")
        assert remote.create_head("main", 1, encode_published(published))


def test_remote_keeps_what_its_head_says(history, scenes, tmp_path):
    publish_head(history, tmp_path / "remote", "all")
    published = list_names(tmp_path / "remote/files/md5")
    history.tag("v2")
    revisions, _ = replay_log(history)
    needed = set().union(*map(list_needed, revisions.values())) | list_history_at(tmp_path / "remote")
    report = history.collect_garbage(remote="origin")
    assert list_names(tmp_path / "remote/files/md5") == needed < published
    assert report.deleted.objects == len(published - needed)
    assert md5_of(scenes["a", 2]) in needed


def test_remote_deletes_what_is_known_only(history, scenes, tmp_path):
    foreign = tmp_path / "remote/files/md5/00" / ("f" * 30)
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"of another project")
    publish_head(history, tmp_path / "remote")
    before = list_stored(history.root)
    planned = history.collect_garbage(remote="origin", dry_run=True)
    history.collect_garbage()
    assert list_names(tmp_path / "remote/files/md5") == before | {"00" + "f" * 30}
    report = history.collect_garbage(remote="origin")
    revisions, tagged = replay_log(history)
    needed = list_needed(revisions[tagged[0]]) | list_needed(revisions[max(revisions)]) | list_history(history.root)
    assert list_names(tmp_path / "remote/files/md5") == needed | {"00" + "f" * 30}
    assert (planned.kept, planned.unknown) == (report.kept, report.unknown)
    assert planned.deleted.objects == report.deleted.objects == len(before - needed) > 0
    assert report.unknown.objects == 1


def list_history_at(remote_folder):
    """Return the objects of the history that the head on a remote names."""
    address = json.loads((remote_folder / "heads/main/1").read_bytes())["history"]
    listing = json.loads((remote_folder / "files/md5" / address[:2] / address[2:]).read_bytes())
    return {address, *(row["md5"] for row in listing)}


def test_push_during_garbage_collection_is_noticed(history, tmp_path, monkeypatch):
    publish_head(history, tmp_path / "remote")
    before = list_names(tmp_path / "remote/files/md5")

    def list_after_push(remote):
        history_head = json.loads((tmp_path / "remote/heads/main/1").read_bytes()) | {"revisions": "all"}
        (tmp_path / "remote/heads/main/2").write_text(json.dumps(history_head))
        return before

    monkeypatch.setattr("geographer.storage.dvc.remote.Remote.list_objects", list_after_push)
    with pytest.raises(ConflictError, match="another push moved a head of 'origin'"):
        history.collect_garbage(remote="origin")
    assert list_names(tmp_path / "remote/files/md5") == before


KEPT = ["by the collection", "by the push"]


@pytest.mark.parametrize("kept", KEPT)
def test_running_push_loses_nothing(kept, team, monkeypatch):
    """A garbage collection of the remote after a push sent its segments, and before it creates the head."""
    ada, bob = Dataset.open(team.ada), Dataset.open(team.copy_ada("bob"))
    ada.add_classes(["reed"])
    create_file = FolderFiles.create_file
    before = list_names(team.remote / "files/md5")

    def collect_first(*arguments):
        sent = list_names(team.remote / "files/md5") - before
        assert len(sent) == 2
        if kept == "by the collection":
            assert bob.collect_garbage(remote="origin").deleted.objects == 0
        else:
            for name in sent:
                (team.remote / "files/md5" / name[:2] / name[2:]).unlink()
        return create_file(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(FolderFiles, "create_file", collect_first)
        ada.push()
    bob.pull()
    assert bob.show().digest == ada.show().digest
    if kept == "by the collection":
        ada.add_classes(["sand"])
        ada.push()
        bob.pull()
        assert bob.collect_garbage(remote="origin").deleted.objects > 0
        assert list_names(team.remote / "files/md5") >= list_history(bob.root)


def test_remote_ahead_is_left_alone(history, tmp_path):
    behind = Dataset.open(shutil.copytree(history.root, tmp_path / "behind"))
    history.tag("v2")
    publish_head(history, tmp_path / "remote")
    publish_settings = (history.root / ".dvc/config").read_text()
    (behind.root / ".dvc/config").write_text(publish_settings)
    before = list_names(tmp_path / "remote")
    with pytest.raises(ConflictError, match="Run geographer pull origin first"):
        behind.collect_garbage(remote="origin")
    assert list_names(tmp_path / "remote") == before


def test_commands_wait_for_garbage_collection(history):
    entered = threading.Event()

    def store_files():
        with make_staging_folder(history.root):
            entered.set()

    thread = threading.Thread(target=store_files)
    with exclude_staging(history.root):
        thread.start()
        assert not entered.wait(0.2)
    assert entered.wait(10)
    thread.join()


def test_missing_remote_is_named(history):
    with pytest.raises(NotFoundError, match="no remote"):
        history.collect_garbage(remote="origin")
