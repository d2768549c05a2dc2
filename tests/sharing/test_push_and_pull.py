"""Push, pull and fetch over a folder: heads move forward only, nothing is lost, and a killed push goes on."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError
from geographer.sharing import fetch, push
from geographer.storage.dvc.folder_files import FolderFiles
from geographer.storage.dvc.store import Store
from geographer.storage.history import folder as history_folder
from geographer.storage.history.ingest import read_chain
from geographer.storage.unit_of_work import UnitOfWork
from tests.sample_history import read_contents, square_geometry, write_features, write_scenes
from tests.sample_team import LONG, copy_team, long_form, select_cases


class Crash(BaseException):
    """Takes the place of the end of the process."""


def read_digests(dataset):
    return [event.digest for event in dataset.log()]


def read_head(remote):
    """Return the number and the content of the newest head in a folder remote."""
    number = max(int(path.name) for path in (remote / "heads/main").iterdir())
    return number, json.loads((remote / "heads/main" / str(number)).read_bytes())


def require_equal(*datasets):
    """Require that datasets have the same log, content and files, and that each is well."""
    first = datasets[0]
    for dataset in datasets:
        assert read_digests(dataset) == read_digests(first)
        assert dataset.content_digest() == first.content_digest()
        assert dataset.verify() == []
    files = [{name for name in read_contents(dataset.root) if name.endswith(".tif")} for dataset in datasets]
    assert all(names == files[0] for names in files)


def test_push_sends_what_is_new(team):
    """A push sends the change alone; a second push sends nothing."""
    dataset = Dataset.open(team.ada)
    before = read_contents(team.remote)
    dataset.add_classes(["reed"])
    planned = dataset.push(dry_run=True)
    assert read_contents(team.remote) == before
    result = dataset.push()
    assert (planned.objects, planned.bytes, planned.changed) == (result.objects, result.bytes, False)
    assert (result.events, result.changed) == (1, True)
    after = read_contents(team.remote)
    new = after.keys() - before.keys()
    assert {name: after[name] for name in before} == before
    assert sum(len(after[name]) for name in new) < 64_000
    assert len(new) == 3, "a segment, the list of segments, and a head"
    again = dataset.push()
    assert (again.events, again.objects, again.changed) == (0, 0, False)
    assert read_contents(team.remote) == after


def test_leak_of_a_split_is_not_pushed(team):
    """A feature on chips of both parts connects them: nothing is sent until update resolves that."""
    dataset = Dataset.open(team.ada)
    dataset.split("parts", collection="around", parts={"train": 0.5, "test": 0.5})
    dataset.push()
    dataset.add_features(
        write_features(team.folder / "lake.geojson", {"lake": ("pond", square_geometry(9, 9, 55))}), crs="EPSG:32633"
    )
    before = read_contents(team.remote)
    for dry_run in (True, False):
        with pytest.raises(ConflictError, match=r"split 'parts' leaks: .* feature 'lake'.* --on-conflict move"):
            dataset.push(dry_run=dry_run)
    assert read_contents(team.remote) == before
    dataset.update(on_conflict="move")
    assert dataset.push().changed


def test_pull_follows_and_shows_new_head(team):
    ada, bob = Dataset.open(team.ada), team.clone("bob")
    ada.remove_rasters(["around/a_p1"])
    ada.add_rasters(write_scenes(team.folder, "c", offset=2, seed=5))
    ada.push()
    fetched = bob.fetch()
    assert (fetched.events, fetched.behind, fetched.ahead, fetched.updated) == (2, 2, 0, False)
    assert bob.show().position == 5
    pulled = bob.pull()
    assert (pulled.events, pulled.updated) == (0, True)
    assert bob.add_classes(["reed"]).position == 8
    bob.push()
    ada.pull()
    require_equal(ada, bob)


@long_form
def test_behind_push_is_refused_until_pull(team):
    ada, bob = Dataset.open(team.ada), Dataset.open(team.copy_ada("bob"))
    ada.add_classes(["reed"])
    ada.push()
    before = read_contents(team.remote)
    with pytest.raises(ConflictError, match="geographer pull"):
        bob.push()
    assert read_contents(team.remote) == before
    bob.pull()
    assert bob.push().changed is False


def test_diverged_histories_are_recognised_on_both_sides(team):
    """Both have events that the other one lacks: each says so, and keeps what it has."""
    ada, bob = Dataset.open(team.ada), Dataset.open(team.copy_ada("bob"))
    ada.add_classes(["reed"])
    ada.push()
    bob.remove_rasters(["around/a_p1"])
    his = read_digests(bob), bob.content_digest()
    published = read_contents(team.remote)
    for action in (bob.push, bob.pull, bob.push):
        with pytest.raises(
            ConflictError, match=r"diverged: this log has 1 event .* has 1 event .*geographer merge origin/main"
        ):
            action()
    assert (read_digests(bob), bob.content_digest()) == his
    assert read_contents(team.remote) == published
    fetched = bob.fetch()
    assert (fetched.ahead, fetched.behind) == (1, 1)
    assert bob.add_classes(["sand"]).position == 7
    assert bob.verify() == []
    assert ada.pull().behind == 0


def test_replaced_remote_is_recognised(team):
    """A remote whose history was replaced by another one of the same dataset: the log stays whole."""
    ada, bob = Dataset.open(team.ada), Dataset.open(team.copy_ada("bob"))
    other = shutil.copytree(team.remote, team.folder / "other")
    ada.add_classes(["reed"])
    ada.push()
    bob.fetch()
    shutil.rmtree(team.remote)
    other.rename(team.remote)
    dan = team.clone("dan")
    dan.add_classes(["sand"])
    dan.push()
    dan.add_classes(["clay"])
    dan.push()
    bob.fetch()
    assert bob.verify() == []
    bob.pull()
    assert read_digests(bob) == read_digests(dan)
    with pytest.raises(ConflictError, match="diverged"):
        ada.pull()


@pytest.mark.parametrize("change", select_cases(["emptied", "another URL"], 2))
def test_emptied_or_other_remote_gets_all(change, team):
    """A remote that was emptied, or has another URL: what this machine knew of it is forgotten, and all is sent."""
    ada = Dataset.open(team.ada)
    assert ada.push().changed is False
    first = read_contents(team.remote)
    if change == "emptied":
        shutil.rmtree(team.remote)
    else:
        config = team.ada / ".dvc/config"
        config.write_text(config.read_text().replace("../../remote", "../../other"))
    other = team.remote if change == "emptied" else team.folder / "other"
    other.mkdir()
    assert ada.fetch().position == 0
    assert ada.push().changed
    assert read_contents(other) == first
    ada.add_classes(["reed"])
    assert ada.push().events == 1
    assert read_head(other)[0] == 2


def test_push_after_push_reads_no_segment(team, monkeypatch):
    """After a push, `main` has the events of the published head: nothing is downloaded or taken in again."""
    ada = Dataset.open(team.ada)
    monkeypatch.setattr(fetch, "ingest_segments", raise_crash)
    for name in ("reed", "sand", "clay"):
        ada.add_classes([name])
        assert (ada.push().events, ada.fetch().events) == (1, 0)
        assert read_chain(ada._unit_of_work.database, "origin/main") == read_digests(ada)
    assert ada.verify() == []


def test_withdrawn_files_are_deleted_once(team, monkeypatch):
    """A push that ends before it deletes withdrawn files: the next one deletes them, and no later one asks again."""
    ada = Dataset.open(team.ada)
    (raster,) = ada.rasters(where="raster_id = 'a'").to_pylist()
    path = team.remote / "files/md5" / raster["md5"][:2] / raster["md5"][2:]
    ada.withdraw_rasters(["a"], reason="licence")
    with monkeypatch.context() as patch:
        patch.setattr(FolderFiles, "delete_files", raise_crash)
        with pytest.raises(Crash):
            ada.push()
    other = shutil.copytree(team.remote, team.folder / "other")
    assert path.exists()
    assert ada.push().changed is False
    assert not path.exists()
    config = team.ada / ".dvc/config"
    config.write_text(config.read_text().replace("../../remote", "../../other"))
    ada.push()
    assert not (other / path.relative_to(team.remote)).exists(), "with another URL, it is another remote"
    monkeypatch.setattr(FolderFiles, "delete_files", raise_crash)
    ada.add_classes(["reed"])
    assert ada.push().changed


def test_listing_that_others_refuse_is_not_published(team):
    """A history whose listing names another file than segments: the check of those who fetch it is that of the push."""
    dvc_file = team.ada / "history.dvc"
    listing = b'[{"md5": "' + b"0" * 32 + b'", "relpath": "notes.parquet"}]'
    address = f"{hashlib.md5(listing).hexdigest()}.dir"
    with Store(team.ada) as store:
        assert push.list_history(store, team.ada)[1]
        store.write_listing(address, listing)
        dvc_file.write_text(re.sub(r"md5: \S+\.dir", f"md5: {address}", dvc_file.read_text()))
        with pytest.raises(CorruptError, match="other files than segments"):
            push.list_history(store, team.ada)


def test_remote_of_other_dataset_is_refused(team, tmp_path):
    other = Dataset.init(tmp_path / "dataset", scm=False)
    shutil.copy(team.ada / ".dvc/config", other.root / ".dvc/config")
    (other.root / ".dvc/config").write_text(
        f"[core]\n    remote = origin\n['remote \"origin\"']\n    url = {team.remote}\n"
    )
    for action in (other.fetch, other.pull, other.push):
        with pytest.raises(ConflictError, match="another dataset"):
            action()
    assert other.verify() == []


def test_pull_keeps_workspace_that_was_asked_for(team):
    """A workspace at an older revision: pull fetches, and says which command goes on."""
    ada, bob = Dataset.open(team.ada), Dataset.open(team.copy_ada("bob"))
    ada.add_classes(["reed"])
    ada.push()
    bob.checkout("@2")
    files = read_contents(bob.root / "rasters")
    with pytest.raises(ConflictError, match="geographer checkout HEAD"):
        bob.pull()
    assert read_contents(bob.root / "rasters") == files
    assert bob.status()["workspace"] == 2
    bob.checkout("HEAD")
    assert bob.pull().updated
    assert read_digests(bob) == read_digests(ada)


@long_form
def test_two_pushers_at_once(team):
    """Of two pushers with different events, one wins, and the other one is asked to pull."""
    datasets = [Dataset.open(team.ada), Dataset.open(team.copy_ada("bob"))]
    for dataset, name in zip(datasets, ("reed", "sand"), strict=True):
        dataset.add_classes([name])

    def push(dataset):
        try:
            return dataset.push().digest
        except ConflictError as error:
            return str(error)

    with ThreadPoolExecutor(2) as executor:
        results = list(executor.map(push, datasets))
    winners = [result for result, dataset in zip(results, datasets, strict=True) if result == dataset.show().digest]
    assert len(winners) == 1
    assert "pull" in next(result for result in results if result not in winners) or "diverged" in str(results)
    assert read_head(team.remote)[1]["head"] == winners[0]
    assert read_head(team.remote)[0] == 2
    clone = team.clone("clone")
    assert clone.show().digest == winners[0]
    assert clone.verify() == []


def test_late_pusher_is_asked_to_pull(team, monkeypatch):
    """A head that appears between the check and the creation: it is not replaced."""
    ada, bob = Dataset.open(team.ada), Dataset.open(team.copy_ada("bob"))
    ada.add_classes(["reed"])
    bob.add_classes(["sand"])
    upload = FolderFiles.put_files

    def push_first(*arguments):
        monkeypatch.setattr(FolderFiles, "put_files", upload)
        ada.push()
        return upload(*arguments)

    monkeypatch.setattr(FolderFiles, "put_files", push_first)
    with pytest.raises(ConflictError, match="faster"):
        bob.push()
    assert read_head(team.remote)[1]["head"] == ada.show().digest


PUSH_CRASHES = ["put_file", "create_file", "remember"]


@pytest.mark.parametrize("step", select_cases(PUSH_CRASHES, 1))
def test_interrupted_push_goes_on(step, team, monkeypatch):
    """A push that ends anywhere leaves the remote readable, and the next one completes it."""
    ada = Dataset.open(team.ada)
    ada.add_rasters(write_scenes(team.folder, "c", "d", offset=2, seed=5))
    with monkeypatch.context() as patch:
        if step == "remember":
            patch.setattr(push, "remember_remote", raise_crash)
        elif step == "put_file":
            patch.setattr(FolderFiles, "put_file", FailAfter(FolderFiles.put_file, 2))
        else:
            patch.setattr(FolderFiles, step, raise_crash)
        with pytest.raises(Crash):
            ada.push()
    bob = team.clone("bob")
    assert bob.show().position == (6 if step == "remember" else 5)
    assert bob.verify() == []
    Dataset.open(team.ada).push()
    bob.pull()
    require_equal(ada, bob)


def raise_crash(*_: object, **__: object) -> None:
    raise Crash


class FailAfter:
    """Calls a method some times, and then crashes."""

    def __init__(self, method, count):
        self.method, self.count = method, count

    def __get__(self, instance, _owner):
        def call(*arguments):
            self.count -= 1
            if self.count < 0:
                raise Crash
            return self.method(instance, *arguments)

        return call


PULL_CRASHES = [
    (history_folder.HistoryFolder, "add_file"),
    (UnitOfWork, "sync_workspace"),
    (UnitOfWork, "write_history"),
    (history_folder.HistoryFolder, "_track_segments"),
]


@pytest.mark.parametrize("crash", select_cases(PULL_CRASHES, 1), ids=lambda pair: pair[1])
def test_interrupted_pull_goes_on(crash, team, monkeypatch):
    owner, name = crash
    ada, bob = Dataset.open(team.ada), Dataset.open(team.copy_ada("bob"))
    ada.remove_rasters(["around/a_p1"])
    ada.push()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, raise_crash)
        with pytest.raises(Crash):
            bob.pull()
    bob = Dataset.open(bob.root)
    bob.pull()
    assert not (bob.root / "rasters/around/a_p1.tif").exists()
    bob.add_classes(["reed"])
    assert bob.verify() == []
    bob.push()
    ada.pull()
    require_equal(ada, bob)


def test_missing_objects_are_named(team):
    """A file that is neither here nor on the remote: the push says so, and publishes nothing."""
    ada = Dataset.open(team.ada)
    ada.add_rasters(write_scenes(team.folder, "c", offset=2, seed=5))
    md5 = ada.rasters(where="raster_id = 'c'").to_pylist()[0]["md5"]
    for path in (team.ada / ".dvc/cache").rglob(md5[2:]):
        path.unlink()
    before = read_contents(team.remote)
    with pytest.raises(CorruptError, match=md5):
        ada.push()
    assert read_contents(team.remote) == before


COUNT = 40 if LONG else 1


def test_killed_commands_go_on(team_template, tmp_path):
    """Clone, push and pull are killed at random moments (SIGKILL): each goes on, and nothing is lost."""
    generator = np.random.Generator(np.random.PCG64(12))
    for number in range(COUNT):
        team = copy_team(team_template, tmp_path / str(number))
        ada = Dataset.open(team.ada)
        ada.add_rasters(write_scenes(team.folder, "c", "d", offset=2, seed=5))
        run_and_kill(team.folder, ["-C", "ada", "push"], generator.uniform(0.3, 1.5))
        ada.push()
        run_and_kill(team.folder, ["clone", "remote", "bob"], generator.uniform(0.3, 2))
        bob = team.clone("bob") if not is_complete_clone(team.folder / "bob") else Dataset.open(team.folder / "bob")
        if LONG:
            ada.remove_rasters(["around/a_p1"])
            ada.push()
            run_and_kill(team.folder, ["-C", "bob", "pull"], generator.uniform(0.3, 1.5))
            bob = Dataset.open(bob.root)
            bob.pull()
        require_equal(ada, bob)
        shutil.rmtree(team.folder)


def is_complete_clone(folder: Path) -> bool:
    return folder.exists() and not (folder / ".geographer/clone").exists()


def run_and_kill(folder: Path, arguments: list[str], seconds: float) -> None:
    """Run a command, and kill it after some time."""
    command = [sys.executable, "-m", "geographer", *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)


def test_push_restores_what_dvc_gc_deleted_on_the_remote(team):
    ada = Dataset.open(team.ada)
    ada.push()
    remote = team.remote / "files" / "md5"
    before = {path.relative_to(remote) for path in remote.rglob("*") if path.is_file()}
    for path in sorted(before)[::3]:
        (remote / path).unlink()
    assert ada.push().objects == len(sorted(before)[::3])
    assert {path.relative_to(remote) for path in remote.rglob("*") if path.is_file()} == before
    assert ada.push().objects == 0
