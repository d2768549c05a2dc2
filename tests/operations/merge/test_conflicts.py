"""Conflicts: what both branches changed differently, listed, blocking, resolved one by one, and taken back."""

from __future__ import annotations

import json
import shutil

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from tests.operations.merge.forked_dataset import FEATURES, add_features, fork, read_content
from tests.sample_history import square_geometry, write_scenes
from tests.sample_team import select_cases


def edit_left(dataset, folder):
    p1 = {"p1": ("pond", square_geometry(11, 11, 5))}
    add_features(dataset, folder, p1, replace=True, depth=2)
    dataset.remove_features(["p2"])
    add_features(dataset, folder, {"n1": ("reed", square_geometry(30, 30, 4))}, depth=1)
    dataset.add_rasters(write_scenes(folder, "b", offset=1, seed=5), replace=True)
    dataset.cut_around_features("around", size=20, replace=True)
    dataset.tag("v1")


def edit_right(dataset, folder):
    p1 = {"p1": ("pond", square_geometry(12, 12, 5))}
    add_features(dataset, folder, p1, replace=True, depth=3)
    add_features(dataset, folder, {"p2": FEATURES["p2"]}, replace=True, depth=9)
    add_features(dataset, folder, {"n2": ("moss", square_geometry(33, 30, 4)), "n3": FEATURES["q1"]}, depth=1)
    add_features(dataset, folder, {"n1": ("reed", square_geometry(31, 30, 4))}, depth=1)
    dataset.remove_rasters(["b"])
    dataset.cut_around_features("around", size=24, replace=True)
    dataset.tag("v1")


EXPECTED = {
    ("class", "reed", "value"),
    ("feature", "n1", "geometry"),
    ("feature", "p1", "geometry"),
    ("feature", "p1", "properties.depth"),
    ("feature", "p2", None),
    ("raster", "b", None),
    ("recipe", "around", "size"),
    ("tag", "v1", None),
}


@pytest.fixture(scope="module")
def conflicting(base, tmp_path_factory):
    """A dataset whose branches changed the same, on `left`; copy it before changing it."""
    return fork(base, tmp_path_factory.mktemp("conflicting"), edit_left, edit_right).root


@pytest.fixture
def dataset(conflicting, tmp_path):
    return Dataset.open(shutil.copytree(conflicting, tmp_path / "dataset", symlinks=True))


def list_by_key(dataset):
    return {(row["subject"], row["object_id"], row["column"]): row for row in dataset.list_conflicts().to_pylist()}


def read_features(dataset):
    return {row["feature_id"]: row for row in dataset.features().to_pylist()}


def test_conflicts_keep_our_values_and_block(dataset):
    before = read_content(dataset)
    result = dataset.merge_branch("right")
    conflicts = list_by_key(dataset)
    assert conflicts.keys() == EXPECTED
    assert result.summary["conflicts"] == len(EXPECTED)
    values = [conflicts["feature", "p1", "properties.depth"][name] for name in ("base", "ours", "theirs")]
    assert values == ["1", "2", "3"]
    assert conflicts["feature", "p2", None]["ours"] is None
    assert json.loads(conflicts["feature", "p2", None]["theirs"])["properties.depth"] == 9
    features = read_features(dataset)
    assert (features["p1"]["depth"], "p2" in features, features["n2"]["class"]) == (2, False, "moss")
    for change in (lambda: dataset.tag("v2"), lambda: dataset.revert_event("HEAD")):
        with pytest.raises(ConflictError, match="geographer conflicts"):
            change()
    assert Dataset.open(dataset.root).list_conflicts().to_pylist() == dataset.list_conflicts().to_pylist()
    dataset.abort_merge()
    assert read_content(dataset) == before
    assert dataset.list_conflicts().to_pylist() == []
    with pytest.raises(NotFoundError, match="no merge to abort"):
        dataset.abort_merge()


@pytest.mark.parametrize("side", select_cases(["theirs", "ours"], 1))
def test_option_settles_all_as_resolving_does(dataset, side):
    dataset.create_branch("copy")
    result = dataset.merge_branch("right", on_conflict=side)
    assert len(result.summary["settled"]) == len(EXPECTED)
    settled = read_content(dataset)
    dataset.switch_branch("copy")
    dataset.merge_branch("right")
    dataset.resolve_conflicts([], side, all_conflicts=True)
    resolved = read_content(dataset)
    assert dataset.list_conflicts().to_pylist() == []
    for name in ("features", "recipes", "inputs", "columns", "tags"):
        assert resolved[name] == settled[name], name
    assert {row[0] for row in resolved["rasters"] if row[3] is None} == {
        row[0] for row in settled["rasters"] if row[3] is None
    }
    values = [value for _, value in resolved["classes"]]
    assert len({*values}) == len(values)
    dataset.switch_branch("right")
    dataset.merge_branch("left", on_conflict="ours" if side == "theirs" else "theirs")
    mirrored = read_content(dataset)
    for name in ("classes", "features", "recipes", "inputs", "columns", "removals", "order"):
        assert mirrored[name] == settled[name], name


def test_crossing_merges_list_conflicts_again(dataset, tmp_path):
    """Each side kept its values, so that the last common revisions differ in them; all else is taken over."""
    for name in ("left", "right"):
        dataset.create_branch(f"{name}-before", name)
    for own, other in (("left", "right-before"), ("right", "left-before")):
        dataset.switch_branch(own)
        dataset.merge_branch(other, on_conflict="ours")
        add_features(dataset, tmp_path, {f"later on {own}": FEATURES["q1"]}, depth=1)
    result = dataset.merge_branch("left")
    conflicts = list_by_key(dataset)
    assert len(result.summary["bases"]) == 2
    assert conflicts.keys() >= EXPECTED
    # Whether the other class got another value in the first merges depends on digests.
    assert conflicts.keys() - EXPECTED - {("class", "moss", "value")} == {("removal", "b", None)}
    assert {row["base"] for row in conflicts.values()} == {None}
    assert (conflicts["feature", "p2", None]["theirs"], conflicts["raster", "b", None]["ours"]) == (None, None)
    dataset.resolve_conflicts([], "theirs", all_conflicts=True)
    features = read_features(dataset)
    assert features.keys() >= {"later on left", "later on right"}
    assert (features["p1"]["depth"], "p2" in features, features["n2"]["class"]) == (2, False, "moss")
    resolved = read_content(dataset)
    dataset.switch_branch("left")
    assert dataset.merge_branch("right").summary["conflicts"] == 0
    assert read_content(dataset)["digest"] == resolved["digest"]


def test_resolutions_take_base_and_files(dataset, tmp_path):
    dataset.merge_branch("right")
    numbers = {key: row["conflict"] for key, row in list_by_key(dataset).items()}
    with pytest.raises(NotFoundError, match="'99'"):
        dataset.resolve_conflicts(["99"], "ours")
    with pytest.raises(UsageError, match="no value of the last common revision"):
        dataset.resolve_conflicts([numbers["feature", "n1", "geometry"]], "base")
    path = tmp_path / "raster.json"
    path.write_text("{}")
    with pytest.raises(UsageError, match="no file can resolve"):
        dataset.resolve_conflicts([numbers["raster", "b", None]], str(path))
    dataset.resolve_conflicts([numbers["feature", "p1", "properties.depth"]], "base")
    dataset.resolve_conflicts([numbers["feature", "p2", None]], "base")
    features = read_features(dataset)
    assert (features["p1"]["depth"], features["p2"]["depth"]) == (1, 1)
    point = {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [15.0, 46.9]}}
    path = tmp_path / "point.geojson"
    path.write_text(json.dumps(point))
    dataset.resolve_conflicts([numbers["feature", "n1", "geometry"]], str(path))
    size = tmp_path / "size.json"
    size.write_text("-1")
    with pytest.raises(UsageError, match="recipe 'around' could not run: invalid size"):
        dataset.resolve_conflicts([numbers["recipe", "around", "size"]], str(size), dry_run=True)
    size.write_text('[12, 12, "px"]')
    dataset.resolve_conflicts([numbers["recipe", "around", "size"]], str(size))
    remaining = list_by_key(dataset)
    assert remaining.keys() == {
        ("class", "reed", "value"),
        ("feature", "p1", "geometry"),
        ("raster", "b", None),
        ("tag", "v1", None),
    }
    dataset.resolve_conflicts([row["conflict"] for row in remaining.values()], "ours")
    recipes = {name: json.loads(parameters) for name, _, parameters in read_content(dataset)["recipes"]}
    assert recipes["around"]["size"] == [12, 12, "px"]
    list(dataset.update(on_conflict="exclude"))
    dataset.tag("v2")
