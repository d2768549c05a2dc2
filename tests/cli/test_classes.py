"""The commands `classes …`, and additions that replace."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from geographer.cli import geographer_command
from tests.cli.runner import read_rows, run_command


def test_remapped_classes_are_listed(root):
    assert [row["class"] for row in read_rows(root, "classes", "list")] == ["water", "pond", "quarry", "quay"]
    (result,) = read_rows(root, "classes", "remap", "pond, quarry=pit", "quay=", "-m", "fewer")
    assert (result["kind"], result["classes"]) == ("classes_remapped", ["water", "pit"])
    listed = {row["class"]: (row["value"], row["features"]) for row in read_rows(root, "classes", "list")}
    assert listed == {"water": (0, 1), "pit": (1, 4)}
    assert "pond" in run_command(root, "classes", "list", "--at", "HEAD~1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["pond"], "invalid change 'pond'. Use OLD=NEW"),
        (["=pit"], "invalid change '=pit'. Use OLD=NEW"),
        (["pond=pit", "quarry,pond="], "class 'pond' is given twice"),
    ],
)
def test_unreadable_remaps_are_usage_errors(sample_history, changes, message):
    result = CliRunner().invoke(geographer_command, ["-C", str(sample_history.root), "classes", "remap", *changes])
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("name", ["from-probabilities", "harden"])
def test_classes_from_probabilities(root, tmp_path, name):
    properties = {"id": "s", "class": "pond", "prob_of_class_pond": 0.25, "prob_of_class_quarry": 0.5}
    feature = {"type": "Feature", "properties": properties, "geometry": {"type": "Point", "coordinates": [15.0, 47.0]}}
    path = tmp_path / "probabilities.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    run_command(root, "add", "features", str(path))
    assert "would record classes_hardened: 1 feature;" in run_command(root, "classes", name, "--dry-run")
    run_command(root, "classes", name, "--threshold", "0.75")
    (row,) = read_rows(root, "features", "--feature", "s")
    assert (row["class"], row["prob_of_class_quarry"]) == ("water", 0.5)


def test_replacing_additions_print_counts(root, sample_history):
    features = str(sample_history.inputs / "more.geojson")
    (result,) = read_rows(root, "add", "features", features, "--crs", "EPSG:32633", "--replace")
    assert [result[name] for name in ("changed", "added", "unchanged")] == [0, 0, 3]
    scenes = str(sample_history.inputs / "second")
    (result,) = read_rows(root, "add", "rasters", scenes, "--mode", "link", "--pattern", "[bc].tif", "--replace")
    assert [result[name] for name in ("changed", "added", "unchanged")] == [0, 0, 2]
