"""Merges of branches: without an event where none is needed, with a published head first, again and criss-cross."""

from __future__ import annotations

import json
import shutil

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from geographer.planning.split_constraints.check import iter_split_leaks
from geographer.storage.log.branches import Location, create_chain
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files
from tests.operations.merge.forked_dataset import add_features, fork, read_content
from tests.sample_history import delete_object, grid_coordinates, point_geometry, write_scenes
from tests.sample_team import long_form


@pytest.fixture
def points(empty_dataset, tmp_path):
    """A dataset with two points on `main`; `topic` is at its head."""
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "points"))
    set_depth(dataset, tmp_path, p=1, q=1)
    dataset.create_branch("topic")
    return dataset


def set_depth(dataset, folder, **depths):
    for name, depth in depths.items():
        add_features(dataset, folder, {name: ("pond", point_geometry(ord(name), 5))}, replace=True, depth=depth)


def read_depths(dataset):
    return {row["feature_id"]: row["depth"] for row in dataset.features().to_pylist()}


def edit_on(dataset, branch, folder, **depths):
    dataset.switch_branch(branch)
    set_depth(dataset, folder, **depths)


def test_branch_moves_forward_without_event(points, tmp_path):
    edit_on(points, "topic", tmp_path, p=2)
    points.switch_branch("main")
    would_move = points.merge_branch("topic", dry_run=True)
    assert (would_move.changed, would_move.would_change) == (False, True)
    moved = points.merge_branch("topic")
    assert (moved.summary["moved"], read_depths(points)) == (True, {"p": 2, "q": 1})
    assert points.log()[-1].kind == "features_added"
    assert not points.merge_branch("topic").changed
    assert not points.merge_branch("HEAD~1").changed
    assert not points.merge_branch(1).changed
    for revision, error in ((99, NotFoundError), (True, UsageError), (None, UsageError)):
        with pytest.raises(error, match=r"no revision|no position|@99"):
            points.merge_branch(revision)


def test_published_head_becomes_first_parent(points, tmp_path):
    edit_on(points, "topic", tmp_path, p=2, r=7)
    points.create_branch("copy", "main")
    edit_on(points, "copy", tmp_path, p=1, q=3, s=8)
    with points._unit_of_work.database.open_connection(log="w") as connection:
        create_chain(connection, "origin/copy", Location("topic", 5))
    own = points._unit_of_work.read_head()
    points.create_branch("other")
    result = points.merge_branch("origin/copy")
    event = points.log()[-1]
    with points._unit_of_work.open_revision("origin/copy") as revision:
        theirs = revision.fetch_value("SELECT digest FROM chain_event WHERE position = 5")
    assert event.parents == [theirs, own.digest]
    assert (event.position, result.summary["follows_published"]) == (6, True)
    assert read_depths(points) == {"p": 2, "q": 3, "r": 7, "s": 8}
    first = read_content(points)
    points.switch_branch("other")
    points.merge_branch("topic")
    assert points.log()[-1].parents == [own.digest, theirs]
    assert read_content(points) == first


def test_merge_again_takes_only_what_is_new(points, tmp_path):
    edit_on(points, "topic", tmp_path, p=2, r=1)
    edit_on(points, "main", tmp_path, q=2)
    points.merge_branch("topic")
    points.remove_features(["r"])
    edit_on(points, "topic", tmp_path, s=1)
    points.switch_branch("main")
    result = points.merge_branch("topic")
    assert read_depths(points) == {"p": 2, "q": 2, "s": 1}
    assert result.summary["features"] == 1
    content = read_content(points)
    points.switch_branch("topic")
    assert points.merge_branch("main").changed
    assert read_content(points) == content


@long_form
def test_crossing_merges_never_lose_an_edit(points, tmp_path):
    """However often both cross: what they differ in stays a conflict, and all else is taken over."""
    edit_on(points, "topic", tmp_path, p=2)
    edit_on(points, "main", tmp_path, p=3, q=2)
    for here, there in ("rs", "tu"):
        for name in ("main", "topic"):
            points.create_branch(f"{name}-{here}", name)
        points.switch_branch("main")
        points.merge_branch(f"topic-{here}", on_conflict="ours")
        points.switch_branch("topic")
        points.merge_branch(f"main-{here}", on_conflict="ours")
        set_depth(points, tmp_path, **{here: 4})
        edit_on(points, "main", tmp_path, **{there: 5})
    result = points.merge_branch("topic")
    assert len(result.summary["bases"]) == 2
    (conflict,) = points.list_conflicts().to_pylist()
    assert [conflict[name] for name in ("object_id", "base", "ours", "theirs")] == ["p", None, "3", "2"]
    assert read_depths(points) == {"p": 3, "q": 2, "r": 4, "s": 5, "t": 4, "u": 5}


def test_merge_without_files_changes_nothing(base, tmp_path):
    dataset = fork(
        base,
        tmp_path,
        lambda dataset, folder: add_features(dataset, folder, {"n": ("pond", point_geometry(5, 5))}, depth=1),
        lambda dataset, folder: dataset.add_rasters(write_scenes(folder, "c", offset=1, seed=9)),
    )
    with dataset._unit_of_work.open_revision("right") as revision:
        (path,) = revision.fetch_rows("SELECT path FROM current_raster WHERE raster_id = 'c'")[0]
        position = revision.position
    delete_object(dataset.root, path, position)
    dataset.create_branch("behind", "main")
    for branch in ("left", "behind"):
        dataset.switch_branch(branch)
        before = read_content(dataset)
        with pytest.raises(CorruptError, match=r"raster 'c' are neither on this machine.*geographer fetch"):
            dataset.merge_branch("right")
        assert read_content(dataset) == before


def add_scene_as(name, collection="source"):
    def run(dataset, folder):
        dataset.add_rasters(write_scenes(folder, name, offset=1, seed=9), collection=collection)

    return run


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        (add_scene_as("c"), add_scene_as("C"), r"rasters 'C', 'c' of both.*source/C.tif' and 'rasters/source/c.tif'"),
        (add_scene_as("c", "sea"), add_scene_as("d", "Sea"), r"rasters 'c', 'd' of both.*'rasters/Sea' and"),
    ],
)
def test_rasters_with_one_path_are_refused(base, tmp_path, left, right, message):
    dataset = fork(base, tmp_path, left, right)
    before = read_content(dataset)
    with pytest.raises(ConflictError, match=message):
        dataset.merge_branch("right")
    assert read_content(dataset) == before
    assert not dataset.verify()


def test_file_of_user_at_merged_path_is_kept(base, tmp_path):
    dataset = fork(base, tmp_path, add_scene_as("c"), add_scene_as("d"))
    before, path = read_content(dataset), dataset.root / "rasters/source/d.tif"
    path.write_text("mine")
    with pytest.raises(ConflictError, match=r"'rasters/source/d.tif' would be overwritten.*Move it away"):
        dataset.merge_branch("right")
    assert (read_content(dataset), path.read_text()) == (before, "mine")
    assert (dataset.root / "rasters/source/c.tif").exists()
    path.unlink()
    dataset.merge_branch("right")
    assert not dataset.verify()


def test_split_that_leaks_after_merge_is_conflict(base, tmp_path):
    """One side adds a line from a chip to where the other side adds a chip of another part."""
    dataset = fork(
        base,
        tmp_path,
        lambda _dataset, _folder: None,
        lambda dataset, folder: (
            add_features(dataset, folder, {"n": ("pond", point_geometry(20, 55))}, depth=1),
            dataset.update(),
        ),
    )
    dataset.switch_branch("right")
    parts = {row["raster_id"]: row["part"] for row in dataset.splits().to_pylist()}
    part = parts["around/a_n"]
    starts = {"around/a_p1": [(12, 12)], "around/a_p2": [(43, 43)], "around/a_q1": [(62, 22), (62, 60), (24, 60)]}
    start = next(places for name, places in starts.items() if parts.get(name) not in (None, part))
    line = {"type": "LineString", "coordinates": [grid_coordinates(*place) for place in (*start, (20, 56))]}
    dataset.switch_branch("left")
    add_features(dataset, tmp_path, {"line": ("ditch", line)}, depth=1)
    result = dataset.merge_branch("right")
    (conflict,) = dataset.list_conflicts().to_pylist()
    assert (result.summary["conflicts"], conflict["subject"], conflict["object_id"]) == (1, "split", "parts")
    assert len(json.loads(conflict["remedy"])) == 1
    assert json.loads(conflict["ours"])["around/a_n"] is None
    file, merged = tmp_path / "parts.csv", dataset.splits().to_pylist()
    for raster, name in (("around/a_n", "bogus"), ("around/absent", part)):
        file.write_text(f"raster_id,part\n{raster},{name}\n")
        with pytest.raises(NotFoundError, match=r"split 'parts' has no (part 'bogus'|raster 'around/absent')"):
            dataset.resolve_conflicts([conflict["conflict"]], str(file))
    file.write_text(f"raster_id,part\naround/a_n,{part}\n")
    with pytest.raises(ConflictError, match=r"conflict '1' cannot be resolved so: split 'parts' leaks.*smallest"):
        dataset.resolve_conflicts([conflict["conflict"]], str(file), dry_run=True)
    assert (dataset.splits().to_pylist(), len(dataset.list_conflicts())) == (merged, 1)
    dataset.resolve_conflicts([conflict["conflict"]], "smallest")
    with dataset._unit_of_work.open_revision() as revision:
        assert [*iter_split_leaks(revision)] == []
    dataset.tag("sound")


def test_merged_published_head_comes_first_again(points, tmp_path):
    """A branch that has its published head only as a merged one follows it, so that published positions stay."""
    edit_on(points, "topic", tmp_path, q=3)
    edit_on(points, "main", tmp_path, p=2)
    work = points._unit_of_work
    published = work.read_head()
    with work.database.open_connection(log="w") as connection:
        create_chain(connection, "origin/main", Location("main", published.position))
    points.switch_branch("topic")
    points.merge_branch("origin/main")
    merged = work.read_head()
    points.switch_branch("main")
    work.move_branch(Location("topic", merged.position), work.read_head())
    content = read_content(points)
    points.merge_branch("origin/main")
    assert points.log()[-1].parents == [published.digest, merged.digest]
    assert read_content(points) == content
    assert not points.merge_branch("origin/main").changed


def test_merged_class_keeps_place_of_its_event(points, tmp_path):
    """A class that a merge took over is older than one that was added after it on a third branch."""
    points.create_branch("other")
    points.switch_branch("topic")
    add_features(points, tmp_path, {"r": ("reed", point_geometry(1, 1))}, depth=1)
    edit_on(points, "other", tmp_path, q=2)
    add_features(points, tmp_path, {"t": ("peat", point_geometry(2, 2))}, depth=1)
    for depth in (2, 3):
        edit_on(points, "main", tmp_path, p=depth)
    points.merge_branch("topic")
    points.merge_branch("other")
    assert read_content(points)["classes"] == [("pond", 1), ("reed", 2), ("peat", 3)]


def test_withdrawn_rasters_are_gone_after_merge(base, tmp_path):
    dataset = fork(
        base,
        tmp_path,
        lambda _dataset, _folder: None,
        lambda dataset, folder: (
            add_features(dataset, folder, {"n": ("pond", point_geometry(90, 40))}, depth=1),
            dataset.update(),
        ),
    )
    dataset.switch_branch("right")
    from_b = {"b", *(chip["raster_id"] for chip in dataset.chips(where="parent_id = 'b'").to_pylist())}
    assert "around/b_n" in from_b
    store = dataset._unit_of_work.file_store
    paths = [store.cache_path(row["md5"]) for row in dataset.rasters().to_pylist() if row["raster_id"] in from_b]
    dataset.switch_branch("left")
    dataset.withdraw_rasters(["b"], reason="the licence ended")
    dataset.switch_branch("right")
    dataset.merge_branch("left")
    ids = {row["raster_id"] for row in dataset.rasters().to_pylist()}
    assert "b" not in ids
    assert not any(row["parent_id"] == "b" for row in dataset.chips().to_pylist())
    assert not any(path.exists() for path in paths)
    with dataset._unit_of_work.open_revision() as revision:
        files = list_withdrawn_files(revision.connection).values()
    assert {file.reason for file in files} == {"the licence ended"}
    with pytest.raises(ConflictError, match="withdrawn"):
        dataset.add_rasters(write_scenes(tmp_path / "again", "a", "b")[1:])
    assert not dataset.verify()
