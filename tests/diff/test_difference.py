"""Differences: typed rows against both revisions' tables, text, JSON, GeoJSON, conditions, another dataset."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import shapely
from click.testing import CliRunner

from geographer import ConflictError, Dataset, UsageError
from geographer.cli import geographer_command
from tests.cli.runner import run_command
from tests.sample_history import HEAD, SampleHistory, point_geometry, write_features

SCHEMA = Path(__file__).parents[2] / "schemas" / "diff.v1.json"
SQUARE_ON_180 = [
    (3300000.0, -9000.0),
    (3350000.0, -9000.0),
    (3350000.0, 9000.0),
    (3300000.0, 9000.0),
    (3300000.0, -9000.0),
]
"""In EPSG:3832 (Mercator around 150 degrees east), where 180 degrees east is at 3,339,585 m."""
PAIRS = [(1, HEAD), (HEAD, 8), (8, HEAD), *list(pairwise(range(2, HEAD + 1)))[::4]]


@pytest.fixture(scope="module")
def dataset(sample_history: SampleHistory) -> Dataset:
    return Dataset.open(sample_history.root)


def read_tables(dataset: Dataset, position: int) -> dict[str, dict[tuple, Any]]:
    """Return the objects of a revision by kind and key, read through the tables of that revision."""
    features, rasters = dataset.features(position).to_pylist(), dataset.rasters(position).to_pylist()
    chips = {row["raster_id"] for row in dataset.chips(position).to_pylist()}
    tables: dict[str, dict[tuple, Any]] = {
        "class": {(row["class"],): row["value"] for row in dataset.classes(position).to_pylist()},
        "feature": {(str(row["feature_id"]),): row for row in features},
        "raster": {(row["raster_id"],): row["sha256"] for row in rasters if row["raster_id"] not in chips},
        "chip": {(row["raster_id"],): row["sha256"] for row in rasters if row["raster_id"] in chips},
        "edge": {(str(r["feature_id"]), r["raster_id"]): r["relation"] for r in dataset.edges(position).to_pylist()},
        "label": {(row["label"], row["raster_id"]): row["md5"] for row in dataset.labels(position).to_pylist()},
        "split": {(row["split"], row["raster_id"]): row["part"] for row in dataset.splits(position).to_pylist()},
    }
    return tables


def list_expected_changes(old: dict, new: dict) -> dict[tuple, str]:
    return {
        key: "added" if key not in old else "removed" if key not in new else "changed"
        for key in old.keys() | new.keys()
        if key not in old or key not in new or old[key] != new[key]
    }


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_diff_agrees_with_tables(dataset, a, b):
    old, new = read_tables(dataset, a), read_tables(dataset, b)
    found: dict[str, dict[tuple, str]] = {}
    for item in dataset.diff(a, b).iter_objects():
        sides = item.new or item.old
        is_chip = item.kind == "raster" and sides["parent_id"] is not None
        found.setdefault("chip" if is_chip else item.kind, {})[item.keys] = item.change
    for kind in old:
        assert found.get(kind, {}) == list_expected_changes(old[kind], new[kind]), kind


def test_neighbouring_diff_names_event(dataset):
    for position in range(2, HEAD + 1):
        assert {item.position for item in dataset.diff(position - 1, position).iter_objects()} <= {position}


def test_envelope_matches_schema(dataset, sample_history):
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    for a, b in [("v1", "v2"), ("v2", "v1"), ("HEAD", "HEAD")]:
        envelope = json.loads(run_command(sample_history.root, "diff", a, b, "--json", "--pixels"))
        validator.validate(envelope)
    envelope = json.loads(run_command(sample_history.root, "diff", "v1", "v2", "--json"))
    changes = {(item["object"], item["id"]): item for item in envelope["changes"]}
    for revision, side in (("v1", "old"), ("v2", "new")):
        for row in dataset.features(revision).to_pylist():
            item = changes.get(("feature", row["feature_id"]))
            if item is not None:
                assert item[side]["class"] == row["class"]
                assert shapely.equals(
                    shapely.from_geojson(json.dumps(item[side]["geometry"])), shapely.from_wkb(row["geometry"])
                )
    counted = Counter((item["object"], item["change"]) for item in envelope["changes"])
    reported: Counter = Counter()
    for count in envelope["counts"]:
        reported[count["object"], count["change"]] += count["number"]
    assert counted == reported
    assert changes["feature", "p1"]["measures"]["new_area"] == pytest.approx(900, rel=2e-3)


def test_geojson_has_both_sides(dataset, sample_history):
    collection = json.loads(run_command(sample_history.root, "diff", "v1", "v2", "--geojson"))
    features = {feature["id"]: feature for feature in collection["features"]}
    assert {"feature/p1/old", "feature/p1/new", "raster/b/old", "raster/b/new", "feature/p3/new"} <= features.keys()
    assert "feature/p3/old" not in features
    assert features["feature/p1/old"]["geometry"]["type"] == "Point"
    footprint = {row["raster_id"]: row["footprint"] for row in dataset.rasters("v2").to_pylist()}["b"]
    assert shapely.equals(
        shapely.from_geojson(json.dumps(features["raster/b/new"]["geometry"])), shapely.from_wkb(footprint)
    )


def test_text_lists_counts_flags_objects(sample_history):
    text = run_command(sample_history.root, "diff", "v1", "v2")
    lines = text.splitlines()
    assert lines[0].startswith("@8 ")
    assert "(v1)" in lines[0]
    assert lines.index("features pond:") > next(n for n, line in enumerate(lines) if line.startswith("to look at"))
    assert any(line.startswith("features") and "+2 -1 ~1" in line for line in lines)
    assert "  ~ p1: geometry (area 0 → 900.72 m²" in text
    digests = {
        value
        for row in Dataset.open(sample_history.root).rasters().to_pylist()
        for value in (row["md5"], row["sha256"])
    }
    assert not any(digest in text for digest in digests - {None})
    assert "POLYGON" not in text


def test_sections_and_limit(sample_history):
    root = sample_history.root
    counts = run_command(root, "diff", "v1", "v2", "--stat")
    flags = run_command(root, "diff", "v1", "v2", "--flags")
    assert "to look at" not in counts
    assert "features pond:" not in counts + flags
    assert "~1" not in flags
    limited = run_command(root, "diff", "v1", "v2", "--limit", "1")
    assert "more: --limit" in limited
    assert len(limited.splitlines()) < len(run_command(root, "diff", "v1", "v2").splitlines())


def test_exit_code_tells_difference(sample_history):
    def exit_code(*arguments: str) -> int:
        return CliRunner().invoke(geographer_command, ["-C", str(sample_history.root), "diff", *arguments]).exit_code

    assert [exit_code("v1", "v2", "--exit-code"), exit_code("v1", "v1", "--exit-code"), exit_code("v1", "v2")] == [
        1,
        0,
        0,
    ]
    assert exit_code("v1", "v2", "--exit-code", "--id", "S2A") == 1
    assert exit_code("v1", "--geojson", "--stat") == 2
    assert exit_code("v1", "--json", "--geojson") == 2


def test_omitted_revisions_are_last_two(dataset):
    diff = dataset.diff()
    assert (diff.old.position, diff.new.position) == (HEAD - 1, HEAD)
    assert dataset.diff("v1").new.position == HEAD


def select(dataset: Dataset, **conditions) -> set[tuple]:
    return {(item.kind, *item.keys) for item in dataset.diff("v1", "v2", **conditions).iter_objects()}


def names_of(item) -> set[str]:
    sides = [side for side in (item.old, item.new) if side]
    return {*item.keys} | {side.get(name) for side in sides for name in ("parent_id", "feature_id")}


def test_conditions_choose_objects(dataset):
    everything = select(dataset)
    features = {key for key in everything if key[0] == "feature"}
    ponds = {
        row["feature_id"] for at in ("v1", "v2") for row in dataset.features(at, where="class = 'pond'").to_pylist()
    }
    assert select(dataset, only=["features"]) == features
    assert select(dataset, only=["features"], class_="pond") == {key for key in features if key[1] in ponds}
    assert select(dataset, only=["features"], where="class = 'pond'") == {key for key in features if key[1] in ponds}
    chips = {key for key in everything if key[0] == "raster" and key[1].startswith("around/")}
    assert select(dataset, only=["chips"], collection="around") == chips
    assert select(dataset, only=["rasters"], where="width = 64") == {("raster", name) for name in ("b", "c", "d")}
    in_test = {row["raster_id"] for at in ("v1", "v2") for row in dataset.splits(at, where="part = 'test'").to_pylist()}
    assert select(dataset, only=["splits"], subset="test") == {
        key for key in everything if key[0] == "split" and key[2] in in_test
    }
    named = {(item.kind, *item.keys) for item in dataset.diff("v1", "v2").iter_objects() if "p1" in names_of(item)}
    assert select(dataset, ids=["p1"]) == select(dataset, ids="p1") == named
    assert select(dataset, only="splits", subset="parts/test") == select(dataset, only="splits", subset="test")
    west, south, east, north = shapely.from_wkb(dataset.rasters("v2", raster="d")["footprint"][0].as_py()).bounds
    assert ("raster", "d") in select(dataset, bbox=(west, south, east, north))
    assert ("raster", "d") not in select(dataset, bbox=(west - 1, south, west - 0.9, north))
    assert select(dataset, bbox="170,-10,-170,10") == set()


def test_column_of_one_side_can_be_a_condition(dataset, tmp_path, empty_dataset):
    lakes = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "lakes"))
    lakes.add_features(
        write_features(tmp_path / "old.geojson", {"a": ("pond", point_geometry(1, 1))}), crs="EPSG:32633"
    )
    features = json.loads((tmp_path / "old.geojson").read_text())
    features["features"][0]["properties"] |= {"id": "b", "area": 3}
    (tmp_path / "new.geojson").write_text(json.dumps(features))
    lakes.add_features(tmp_path / "new.geojson", crs="EPSG:32633")
    for sides in ((2, 3), (3, 2)):
        assert {item.keys for item in lakes.diff(*sides, where="area > 1").iter_objects()} == {("b",)}


def test_box_meets_the_antimeridian(tmp_path, empty_dataset):
    islands = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "islands"))
    metres = {"type": "Polygon", "coordinates": [[[x, y] for x, y in SQUARE_ON_180]]}
    islands.add_features(write_features(tmp_path / "i.geojson", {"i": ("land", metres)}), crs="EPSG:3832")
    islands.add_catalogue(write_features(tmp_path / "i.geojson", {"i": ("land", metres)}), crs="EPSG:3832")
    for box, is_there in (
        ("179,-1,180,1", True),
        ("-180,-1,-179.9,1", True),
        ("179.5,-1,-179.5,1", True),
        ("0,-1,10,1", False),
    ):
        for only, kind in (("features", "feature"), ("rasters", "raster")):
            assert bool(len(islands.diff("@1", bbox=box, only=only).changes[kind])) is is_there, (box, only)


def test_flags_follow_conditions(dataset):
    assert {flag.ids for flag in dataset.diff("v1", "v2", flags=True, ids=["p1"]).flags} == {("p1",)}
    assert not dataset.diff("v1", "v2", flags=True, only=["recipes"]).flags
    assert dataset.diff("v1", "v2", flags=True, only=["rasters"]).flags[0].ids == ("b",)


@pytest.mark.parametrize(
    "conditions",
    [
        {"only": ["feature"]},
        {"where": "no_such_column > 1"},
        {"where": "1; DROP TABLE features"},
        {"bbox": "1,2,3"},
        {"bbox": "1,2,nan,4"},
        {"class_": 7},
        {"collection": "\ud800"},
        {"class_": "no such class"},
        {"collection": "no such collection"},
        {"subset": "no such subset"},
        {"subset": "no split/test"},
        {"ids": "no such id"},
        {"ids": [1.5]},
        {"ids": ["\ud800"]},
        {"only": 5},
        {"other": 5},
    ],
)
def test_invalid_conditions_are_refused(dataset, conditions):
    with pytest.raises((UsageError, Exception)) as caught:
        dataset.diff("v1", "v2", **conditions)
    assert type(caught.value).__module__ == "geographer.base.errors"


def test_other_dataset_is_compared(sample_history, dataset, tmp_path):
    copy = Dataset.open(shutil.copytree(sample_history.root, tmp_path / "copy"))
    copy.remove_features(["p3"])
    diff = dataset.diff(other=copy.root, flags=True)
    assert {(item.kind, item.keys, item.change) for item in diff.iter_objects() if item.kind == "feature"} == {
        ("feature", ("p3",), "removed")
    }
    same = {
        (item.kind, item.keys, item.change, str(item.old), str(item.new))
        for item in dataset.diff("v1", "v2").iter_objects()
    }
    other = {
        (item.kind, item.keys, item.change, str(item.old), str(item.new))
        for item in dataset.diff("v1", "v2", other=copy.root).iter_objects()
    }
    assert same == other
    assert dataset.diff("v1", "v2", other=copy.root).geometry_by_id == dataset.diff("v1", "v2").geometry_by_id
    stranger = Dataset.init(tmp_path / "stranger", scm=False)
    with pytest.raises(ConflictError, match="no common history"):
        dataset.diff(other=stranger.root)


def test_documentation_shows_real_output(sample_history, monkeypatch, tmp_path):
    """The commands and the snippet of docs/diff.md, without the line of digests and times."""
    document = (Path(__file__).parents[2] / "docs" / "diff.md").read_text()
    console, page = re.findall(r"```console\n\$ geographer (.*?)```", document, re.DOTALL)
    command, _, *shown = console.splitlines()
    printed = run_command(sample_history.root, *command.split()).splitlines()
    assert [line for line in shown if line != "…" and line not in printed] == []
    monkeypatch.chdir(tmp_path)
    command, shown = page.splitlines()
    assert run_command(sample_history.root, *command.split()) == f"{shown}\n"
    (snippet,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    monkeypatch.chdir(sample_history.root)
    exec(compile(snippet, "docs/diff.md", "exec"), {})


def test_diverged_branch_is_compared(team):
    ada, bob = Dataset.open(team.ada), team.clone("bob")
    ada.add_classes(["lagoon"])
    ada.push()
    bob.add_classes(["fjord"])
    bob.fetch()
    changes = {(item.keys, item.change) for item in bob.diff(None, "origin/main", flags=True).iter_objects()}
    assert changes == {(("lagoon",), "added"), (("fjord",), "removed")}
    assert "+1 -1" in run_command(bob.root, "diff", "HEAD", "origin/main", "--stat")
    assert {item.keys for item in bob.diff("HEAD", "origin/main~1").iter_objects()} == {("fjord",)}
