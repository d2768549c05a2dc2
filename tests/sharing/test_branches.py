"""Several branches of one remote: each travels with its files, tags and merges, and nothing published is moved."""

from __future__ import annotations

import json
import logging
import shutil

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError
from geographer.storage.dvc.folder_files import FolderFiles
from tests.sample_history import point_geometry, read_contents, write_features, write_scenes
from tests.sample_team import commit_all, long_form, run_git


def read_head(team, branch):
    """Return the newest head of a branch on the remote."""
    folder = team.remote / "heads" / branch
    return json.loads((folder / str(len([*folder.iterdir()]))).read_bytes())


def list_names(dataset):
    return [branch.name for branch in dataset.list_branches()]


def move_pond(team, dataset, column):
    """Move the pond, so that two moves are a conflict."""
    path = write_features(team.folder / f"{column}.geojson", {"p1": ("pond", point_geometry(column + 0.5, 10.5))})
    return dataset.add_features(path, crs="EPSG:32633", replace=True)


def start_branch(dataset, name="topic"):
    dataset.create_branch(name)
    dataset.switch_branch(name)


def test_branches_travel(team):
    """A branch is published beside main; others get it by fetch, and use it by switch or clone."""
    ada, bob = Dataset.open(team.ada), Dataset.open(team.copy_ada("bob"))
    start_branch(ada)
    ada.add_rasters(write_scenes(team.folder, "c", offset=2, seed=5))
    ada.remove_rasters(["around/a_p1"])
    assert ada.push().branch == "origin/topic"
    assert (read_head(team, "topic")["position"], read_head(team, "main")["position"]) == (7, 5)
    fetched = bob.fetch()
    assert (fetched.branch, fetched.behind, [other.branch for other in fetched.others]) == (
        *("origin/main", 0),
        ["origin/topic"],
    )
    assert (fetched.others[0].events, fetched.others[0].compared_branch) == (2, "main")
    assert list_names(bob) == ["main", "origin/main", "origin/topic"]
    assert bob.rasters(at="origin/topic").num_rows == 4 == ada.rasters().num_rows
    bob.switch_branch("topic")
    assert list_names(bob)[:2] == ["main", "topic"]
    assert (bob.root / "rasters/source/c.tif").exists()
    assert (bob.content_digest(), bob.verify()) == (ada.content_digest(), [])


@long_form
def test_clone_of_branch(team):
    ada = Dataset.open(team.ada)
    start_branch(ada)
    ada.add_classes(["reed"])
    ada.push()
    clone = Dataset.clone(str(team.remote), team.folder / "clone", branch="topic")
    assert (clone.show().digest, clone.verify()) == (ada.show().digest, [])
    assert list_names(clone) == ["topic", "origin/main", "origin/topic"]
    with pytest.raises(NotFoundError, match=r"no branch 'nosuch' was published .* only 'main', 'topic'"):
        Dataset.clone(str(team.remote), team.folder / "other", branch="nosuch")


@long_form
def test_other_branch_is_pushed_and_pulled_without_switch(team):
    ada, bob = Dataset.open(team.ada), Dataset.open(team.copy_ada("bob"))
    start_branch(ada)
    ada.add_classes(["reed"])
    digest = ada.content_digest()
    ada.switch_branch("main")
    before = read_contents(team.ada / "rasters"), (team.ada / "geographer.lock").read_bytes()
    ada.fetch()
    assert ada.push(branch="topic").events == 1
    assert (read_contents(team.ada / "rasters"), (team.ada / "geographer.lock").read_bytes()) == before
    assert read_head(team, "topic")["content_digest"] == digest
    assert not ada.push(branch="topic").changed
    with pytest.raises(NotFoundError, match="no branch 'nosuch'"):
        ada.push(branch="nosuch")
    assert bob.pull(branch="topic").position == 6
    assert (bob.content_digest(), bob.verify()) == (digest, [])
    bob.add_classes(["sand"])
    bob.push()
    with pytest.raises(ConflictError, match="geographer pull --branch topic"):
        ada.push(branch="topic")
    assert [str(remote) for remote in bob.sharing_status().remotes][1].endswith("(equal)")


@long_form
def test_remote_without_listings_and_broken_branches(team, monkeypatch, caplog):
    """HTTP cannot list: known branches are fetched. A branch that cannot be read does not keep others from coming."""
    ada = Dataset.open(team.ada)
    shutil.copytree(team.remote / "heads/main", team.remote / "heads/broken")
    with caplog.at_level(logging.WARNING):
        assert ada.fetch().others == ()
    assert "the branch 'broken' of the remote 'origin' was not fetched" in caplog.text
    shutil.rmtree(team.remote / "heads/broken")
    start_branch(ada)
    ada.add_classes(["reed"])
    ada.push()
    ada.switch_branch("main")
    bob = team.clone("bob")
    monkeypatch.setattr(FolderFiles, "list_names", lambda *_: None)
    assert [other.branch for other in ada.fetch().others] == ["origin/topic"]
    shutil.rmtree(bob.root / ".geographer")
    assert Dataset.open(bob.root).fetch().others == ()


@long_form
def test_merge_is_pushed_and_followed(team):
    """The published head is the first parent; who is merged already follows, whichever chain their events came by."""
    ada, bob = Dataset.open(team.ada), Dataset.open(team.copy_ada("bob"))
    ada.add_classes(["reed"])
    ada.push()
    bob.add_rasters(write_scenes(team.folder, "c", offset=2, seed=5))
    with pytest.raises(ConflictError, match="geographer merge origin/main"):
        bob.pull()
    bob.merge_branch("origin/main")
    assert bob.push().events == 2
    assert ada.pull().events == 2
    assert (ada.show().digest, ada.verify()) == (bob.show().digest, [])
    # Ada's next event reaches main by a branch of hers; her own main has it, and follows.
    ada.add_classes(["sand"])
    start_branch(ada, "side")
    ada.push()
    ada.switch_branch("main")
    bob.add_classes(["clay"])
    bob.push()
    bob.fetch()
    bob.merge_branch("origin/side")
    bob.push()
    pulled = ada.pull()
    assert (pulled.events, pulled.updated, ada.show().digest) == (2, True, bob.show().digest)
    assert ada.verify() == []
    assert read_contents(ada.root / "rasters") == read_contents(bob.root / "rasters")


@long_form
def test_published_positions_stay(team):
    """A branch that merged the published head as its second parent cannot take its place; a merge by its name can."""
    ada, bob = Dataset.open(team.ada), Dataset.open(team.copy_ada("bob"))
    ada.add_classes(["reed"])
    ada.push()
    bob.add_classes(["sand"])
    bob.fetch()
    bob.merge_branch(ada.show().digest)
    with pytest.raises(ConflictError, match=r"Published positions never change: run geographer merge origin/main"):
        bob.push()
    bob.merge_branch("origin/main")
    assert bob.push().position == 7
    assert bob.show("@6").digest == ada.show().digest
    ada.pull()
    assert (ada.show().digest, ada.verify()) == (bob.show().digest, [])


@long_form
def test_open_conflict_blocks_push(team):
    ada, bob = Dataset.open(team.ada), Dataset.open(team.copy_ada("bob"))
    move_pond(team, ada, 12)
    ada.push()
    move_pond(team, bob, 14)
    bob.fetch()
    bob.merge_branch("origin/main")
    before = read_contents(team.remote)
    with pytest.raises(ConflictError, match=r"1 conflict of a merge .*feature 'p1'.*geographer resolve"):
        bob.push()
    assert read_contents(team.remote) == before
    bob.resolve_conflicts(["1"], take="theirs")
    assert bob.push().changed
    ada.pull()
    assert ada.features(feature="p1").to_pylist() == bob.features(feature="p1").to_pylist()


def test_tag_of_merged_branch_keeps_its_files(team):
    """The file that only a tag of the merged branch needs: pushed, retained, kept by gc, and reproduced elsewhere."""
    ada = Dataset.open(team.ada)
    start_branch(ada)
    ada.add_rasters(write_scenes(team.folder, "c", offset=2, seed=5))
    ada.tag("with-c")
    (raster,) = ada.rasters(where="raster_id = 'c'").to_pylist()
    ada.remove_rasters(["c"])
    ada.switch_branch("main")
    ada.add_classes(["reed"])
    ada.merge_branch("topic")
    ada.push()
    ada.delete_branch("topic")
    ada.collect_garbage()
    ada.collect_garbage(remote="origin")
    name = f"{raster['md5'][:2]}/{raster['md5'][2:]}"
    assert (team.remote / "files/md5" / name).exists()
    assert (team.ada / ".dvc/cache/geographer/md5" / name).exists()
    usage = ada.sharing_status().tags[-1]
    assert (usage.tag, usage.files, usage.missing, usage.unprotected) == ("with-c", 5, [], [])
    assert usage.own_bytes == (team.remote / "files/md5" / name).stat().st_size
    clone = team.clone("clone")
    assert clone.reproduce("with-c", team.folder / "with-c").matches == ["with-c"]


@long_form
def test_gc_keeps_what_branches_need(team):
    """Files of a branch, and of one that was deleted without a merge, stay; a merged one's are not needed."""
    ada = Dataset.open(team.ada)
    scenes = write_scenes(team.folder, "c", "d", offset=2, seed=5)
    for name, path in zip(("first", "second"), scenes, strict=True):
        start_branch(ada, name)
        ada.add_rasters([path])
        ada.switch_branch("main")
    ada.delete_branch("second")
    ada.collect_garbage()
    for name, raster in (("first", "c"), ("second", "d")):
        digest = ada.rasters(at="first").num_rows if name == "first" else None
        assert digest is None or digest == 5
        assert len([*(team.ada / ".dvc/cache").rglob(md5_of(ada, raster)[2:])]) >= 1
    ada.merge_branch("first")
    ada.remove_rasters(["c"])
    ada.delete_branch("first")
    md5 = md5_of(ada, "c")
    ada.collect_garbage()
    assert [*(team.ada / ".dvc/cache").rglob(md5[2:])] == []


def md5_of(dataset, raster):
    """Return the MD5 of a raster that any event of the log recorded."""
    with dataset._unit_of_work.database.open_connection(log="r") as connection:
        query = "SELECT md5 FROM log.raster_change WHERE raster_id = $1 AND md5 IS NOT NULL"
        return connection.execute(query, [raster]).fetchall()[0][0]


def test_git_stays_where_it_is(team):
    """`switch` moves neither HEAD nor index; a checkout of a commit with another lock changes the branch in use."""
    ada = Dataset.open(team.ada)
    start_branch(ada)
    ada.remove_rasters(["around/a_p1"])
    assert run_git(team.ada, "branch", "--show-current") == "main\n"
    assert "Git's branch 'main' has geographer.lock of the branch 'main'" in str(ada.describe_git_branch())
    run_git(team.ada, "checkout", "--quiet", "-b", "topic")
    commit_all(team.ada, "topic")
    head = run_git(team.ada, "rev-parse", "HEAD")
    ada.switch_branch("main")
    assert run_git(team.ada, "rev-parse", "HEAD") == head
    assert "M geographer.lock" in run_git(team.ada, "status", "--porcelain")
    run_git(team.ada, "checkout", "--quiet", "--force", "main")
    assert run_git(team.ada, "status", "--porcelain") == ""
    assert Dataset.open(team.ada).show().position == 5
    run_git(team.ada, "checkout", "--quiet", "topic")
    ada = Dataset.open(team.ada)
    assert [branch.name for branch in ada.list_branches() if branch.in_use] == ["topic"]
    ada.checkout()
    assert not (team.ada / "rasters/around/a_p1.tif").exists()
    ada.add_rasters(write_scenes(team.folder, "c", offset=2, seed=5), collection="extra")
    commit_all(team.ada, "a folder that main lacks")
    run_git(team.ada, "checkout", "--quiet", "main")
    assert Dataset.open(team.ada).checkout().removed == 1
    assert run_git(team.ada, "status", "--porcelain") == ""
    assert Dataset.open(team.ada).add_classes(["reed"]).position == 6


@long_form
def test_lock_of_unknown_branch_is_followed(team):
    """A clone that never saw the branch: its segments in history/ are enough, and without them the next step is named."""
    ada, bob = Dataset.open(team.ada), team.copy_ada("bob")
    start_branch(ada)
    ada.add_classes(["reed"])
    for name in ("geographer.lock", "history.dvc"):
        shutil.copy(team.ada / name, bob / name)
    with pytest.raises(ConflictError, match=r"'topic', which this log lacks.*geographer fetch"):
        Dataset.open(bob).add_classes(["sand"])
    other = shutil.copytree(bob, team.folder / "other", symlinks=True)
    ada.push()
    Dataset.open(other).fetch()
    assert Dataset.open(other).show().digest == ada.show().digest
    assert Dataset.open(other).add_classes(["clay"]).position == 7
    for path in (team.ada / "history").iterdir():
        if not (bob / "history" / path.name).exists():
            shutil.copy(path, bob / "history")
    dataset = Dataset.open(bob)
    assert (dataset.show().digest, list_names(dataset)[:2]) == (ada.show().digest, ["main", "topic"])
    assert dataset.add_classes(["sand"]).position == 7
    assert dataset.verify() == []
