"""Branches: what the log, the state, the lock file and the workspace hold when another branch is used."""

from __future__ import annotations

import json
import shutil

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.storage.log.branches import Location, create_chain, read_chain_heads
from geographer.storage.state.update import is_state_unaltered, rebuild_state
from geographer.storage.unit_of_work import UnitOfWork
from tests.sample_history import point_geometry, write_features, write_scenes
from tests.shared_folders import copy_once


def add_points(dataset: Dataset, path, *names: str) -> None:
    features = {name: ("pond", point_geometry(index + 1, 1)) for index, name in enumerate(names)}
    dataset.add_features(write_features(path / f"{names[0]}.geojson", features), crs="EPSG:32633")


def read_tables(dataset: Dataset) -> list[list]:
    tables = (dataset.features(), dataset.rasters(), dataset.edges(), dataset.sql("SELECT * FROM events"))
    return [table.to_pylist() for table in tables]


def list_files(dataset: Dataset) -> list[str]:
    return sorted(path.name for path in (dataset.root / "rasters").rglob("*.tif"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset with the branches `main` and `topic`, each with features and a raster that the other one lacks."""

    def make(target) -> None:
        dataset = Dataset.init(target / "data")
        dataset.add_classes(["pond"])
        add_points(dataset, target, "a", "b")
        dataset.add_rasters(write_scenes(target / "first", "x"))
        dataset.create_branch("topic")
        add_points(dataset, target, "c")
        dataset.add_rasters(write_scenes(target / "second", "y"))
        dataset.remove_features(["a"])
        dataset.switch_branch("topic")
        add_points(dataset, target, "d", "e")
        dataset.add_rasters(write_scenes(target / "third", "z"))

    return copy_once(tmp_path_factory, "two_branches", make) / "data"


@pytest.fixture
def two_branches(folder, tmp_path):
    """A copy of that dataset, on the branch `topic`."""
    shutil.copytree(folder, tmp_path / "data", symlinks=True)
    return Dataset.open(tmp_path / "data")


def test_switch_shows_the_branch(two_branches):
    dataset = two_branches
    assert [row["feature_id"] for row in dataset.features().to_pylist()] == ["a", "b", "d", "e"]
    assert list_files(dataset) == ["x.tif", "z.tif"]
    assert dataset.switch_branch("main").position == 7
    lock = json.loads((dataset.root / "geographer.lock").read_text())
    assert (lock["branch"], lock["head"]) == ("main", dataset.status()["digest"])
    assert [row["feature_id"] for row in dataset.features().to_pylist()] == ["b", "c"]
    assert list_files(dataset) == ["x.tif", "y.tif"]
    assert Dataset.open(dataset.root).verify() == []


def test_state_of_a_branch_equals_a_rebuilt_one(two_branches):
    database = two_branches._unit_of_work.database
    for branch in ("main", "topic", "main"):
        two_branches.switch_branch(branch)
        updated = read_tables(two_branches)
        assert is_state_unaltered(database)
        rebuild_state(database)
        assert read_tables(two_branches) == updated


def test_another_branch_is_read_without_a_switch(two_branches):
    there = read_tables(two_branches)
    two_branches.switch_branch("main")
    assert [row["feature_id"] for row in two_branches.features(at="topic").to_pylist()] == ["a", "b", "d", "e"]
    assert two_branches.features(at="topic~2").to_pylist() == two_branches.features(at="@4").to_pylist()
    assert two_branches.sql("SELECT count(*) AS n FROM rasters", at="topic").to_pylist() == [{"n": 2}]
    digest = there[3][-1]["digest"]
    assert two_branches.show(digest).digest == two_branches.show("topic").digest == digest
    assert [event.digest for event in two_branches.log(at="topic")] == [row["digest"] for row in there[3]]
    assert [event.digest for event in two_branches.log(1, at="topic~1")] == [there[3][-2]["digest"]]
    (path,) = (row["path"] for row in two_branches.rasters(at="topic").to_pylist() if row["raster_id"] == "z")
    assert (two_branches.root / path).exists()


def test_difference_of_branches(two_branches):
    counts = two_branches.diff("main", "topic").counts
    assert counts[("feature", "added")] == 3
    assert counts[("feature", "removed")] == 1
    assert (counts[("raster", "added")], counts[("raster", "removed")]) == (1, 1)
    turned = two_branches.diff("topic", "main").counts
    assert (turned[("feature", "added")], turned[("feature", "removed")]) == (1, 3)
    assert two_branches.diff("topic~2", "topic").counts[("feature", "added")] == 2


@pytest.mark.parametrize("step", ["checkout_workspace", "write_history", "sync_workspace"])
def test_interrupted_switch_leaves_one_branch(two_branches, monkeypatch, step):
    """Whichever step is missing, the next command is on one of both branches, whole."""

    def die(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(UnitOfWork, step, die)
        with pytest.raises(KeyboardInterrupt):
            two_branches.switch_branch("main")
    dataset = Dataset.open(two_branches.root)
    dataset.add_classes(["lake"])
    branch = next(item.name for item in dataset.list_branches() if item.in_use)
    expected = {"topic": ["x.tif", "z.tif"], "main": ["x.tif", "y.tif"]}
    assert list_files(dataset) == expected[branch]
    assert dataset.verify() == []


def test_verify_knows_the_state_of_another_branch(two_branches):
    """Git brings the lock file of another branch, and verify is the first command after that."""
    lock = two_branches.root / "geographer.lock"
    two_branches.add_classes(["lake"])
    two_branches.add_classes(["river"])
    longer = lock.read_text()
    two_branches.switch_branch("main")
    shorter = lock.read_text()
    for text in (longer, shorter):
        lock.write_text(text)
        kinds = {finding.kind for finding in Dataset.open(two_branches.root).verify()}
        assert not kinds & {"truncated log", "state of another log", "edited state"}


@pytest.mark.parametrize("name", ["main@x", "HEAD", "abcdef", "x.lock"])
def test_lock_file_of_an_impossible_branch_is_refused(two_branches, name):
    lock = two_branches.root / "geographer.lock"
    lock.write_text(lock.read_text().replace('"topic"', f'"{name}"'))
    dataset = Dataset.open(two_branches.root)
    with pytest.raises(ConflictError, match="is damaged"):
        dataset.add_classes(["lake"])
    assert [branch.name for branch in dataset.list_branches()] == ["main", "topic"]


def test_branch_names_are_checked(two_branches):
    two_branches.tag("v1")
    for name in ("", "a/b", "a@b", "HEAD", "abcdef", "-x", "x" * 101, 5, "2026-11-23", "2026-W48"):
        with pytest.raises(UsageError, match=r"[Uu]se|Choose"):
            two_branches.create_branch(name)
    for name in ("main", "Topic", "v1"):
        with pytest.raises(ConflictError):
            two_branches.create_branch(name)
    with pytest.raises(ConflictError, match="a branch has the name 'topic'"):
        two_branches.tag("topic")
    with pytest.raises(NotFoundError, match="no revision 'none'"):
        two_branches.create_branch("new", "none")


def test_deleted_branch_keeps_its_events(two_branches):
    two_branches.switch_branch("main")
    head = two_branches.show("topic").digest
    two_branches.delete_branch("topic")
    assert [branch.name for branch in two_branches.list_branches()] == ["main"]
    assert two_branches.show(head[:12]).digest == head
    assert len(two_branches.features(at=head[:12])) == 4
    assert two_branches.create_branch("topic", head[:12]).digest == head
    with pytest.raises(ConflictError, match="in use"):
        two_branches.delete_branch("main")
    for name in ("none", "", "\udcff"):
        for use_branch in (two_branches.delete_branch, two_branches.switch_branch):
            with pytest.raises(NotFoundError, match="no branch"):
                use_branch(name)
    for number in (5, None, True):
        with pytest.raises(NotFoundError):
            two_branches.switch_branch(number)
    assert two_branches.verify() == []


def test_tags_of_branches(two_branches):
    """The tag of the branch in use counts first, then tags elsewhere; a resolved conflict moves a tag."""
    theirs = two_branches.log()[-1].digest
    for name in ("v1", "new"):
        two_branches.tag(name, theirs)
    two_branches.switch_branch("main")
    ours = two_branches.log()[-1].digest
    two_branches.tag("v1")
    assert (two_branches.show("v1").digest, two_branches.show("new").digest) == (ours, theirs)
    with pytest.raises(ConflictError, match="a tag has the name 'new'"):
        two_branches.create_branch("new")
    for branch, take, digest in (("keep", "ours", ours), ("take", "theirs", theirs)):
        two_branches.create_branch(branch, "main")
        two_branches.switch_branch(branch)
        two_branches.merge_branch("topic")
        two_branches.resolve_conflicts(["1"], take)
        assert two_branches.show("v1").digest == digest
        assert [row["digest"] for row in two_branches.tags().to_pylist() if row["tag"] == "v1"] == [digest]


def test_branch_can_be_moved_back_and_forward(two_branches):
    work = two_branches._unit_of_work
    head = work.read_head()
    moved = work.move_branch(Location("topic", 4), head)
    assert moved.position == 4
    assert list_files(two_branches) == ["x.tif"]
    with work.database.open_connection(log="r") as connection:
        hidden = [name for name, end in read_chain_heads(connection).items() if end == head]
    assert hidden == [f"topic@{head.digest[:12]}"]
    with pytest.raises(ConflictError, match="Run the command again"):
        work.move_branch(Location(hidden[0], head.position), head)
    assert work.move_branch(Location(hidden[0], head.position), moved) == head
    assert list_files(two_branches) == ["x.tif", "z.tif"]
    assert two_branches.verify() == []


@pytest.mark.parametrize("merged", ["topic", "origin/main"])
def test_merge_keeps_what_another_process_appends(two_branches, tmp_path, monkeypatch, merged):
    """A merge that was planned before another process appended is refused, also if it follows the published head."""
    with two_branches._unit_of_work.database.open_connection(log="w") as connection:
        create_chain(connection, "origin/main", Location("topic", two_branches.log()[-1].position))
    two_branches.switch_branch("main")
    record_change = UnitOfWork._record_change

    def add_and_record(work, *arguments):
        monkeypatch.undo()
        add_points(Dataset.open(two_branches.root), tmp_path, "f")
        return record_change(work, *arguments)

    monkeypatch.setattr(UnitOfWork, "_record_change", add_and_record)
    with pytest.raises(ConflictError, match="Run the command again"):
        two_branches.merge_branch(merged)
    two_branches.merge_branch(merged)
    assert {row["feature_id"] for row in two_branches.features().to_pylist()} == {"b", "c", "d", "e", "f"}
    assert two_branches.verify() == []


def test_interrupted_merge_onto_published_head_is_completed(two_branches, monkeypatch):
    """The lock file is at the old head, which the merge has as its second parent."""
    with two_branches._unit_of_work.database.open_connection(log="w") as connection:
        create_chain(connection, "origin/main", Location("topic", two_branches.log()[-1].position))
    two_branches.switch_branch("main")

    def die(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(UnitOfWork, "_finish_move", die)
        with pytest.raises(KeyboardInterrupt):
            two_branches.merge_branch("origin/main")
    dataset = Dataset.open(two_branches.root)
    dataset.add_classes(["lake"])
    assert [event.kind for event in dataset.log()[-2:]] == ["branch_merged", "classes_added"]
    assert list_files(dataset) == ["x.tif", "y.tif", "z.tif"]
    assert dataset.verify() == []


def test_same_key_on_two_branches(two_branches):
    """Idempotency keys hold for each chain."""
    first = two_branches.add_classes(["river"], idempotency_key="k")
    two_branches.switch_branch("main")
    second = two_branches.add_classes(["river"], idempotency_key="k")
    assert (first.changed, second.changed) == (True, True)
    assert two_branches.add_classes(["river"], idempotency_key="k").changed is False


def test_checkout_blocks_a_switch(two_branches):
    two_branches.checkout("@4")
    with pytest.raises(ConflictError, match="checkout HEAD"):
        two_branches.switch_branch("main")
    two_branches.checkout("HEAD")
    assert two_branches.switch_branch("main").name == "main"
