"""classes, components, and many ids at once, as commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from geographer import Dataset
from geographer.cli import cli


@pytest.fixture
def root(story, tmp_path: Path) -> Path:
    return shutil.copytree(story.root, tmp_path / "dataset")


def run(root: Path, *arguments: str, stdin: str | None = None) -> str:
    result = CliRunner().invoke(cli, ["-C", str(root), *arguments], input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_classes_are_listed_remapped_and_listed_again(root):
    assert [row["class"] for row in rows(run(root, "classes", "list", "--json"))] == ["water", "pond", "quarry", "quay"]
    [recorded] = rows(run(root, "classes", "remap", "pond, quarry=pit", "quay=", "--json", "-m", "fewer"))
    assert (recorded["kind"], recorded["classes"]) == ("classes_remapped", ["water", "pit"])
    listed = {row["class"]: (row["value"], row["features"]) for row in rows(run(root, "classes", "list", "--json"))}
    assert listed == {"water": (0, 1), "pit": (1, 4)}
    assert "pond" in run(root, "classes", "list", "--at", "HEAD~1")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["pond"], "'pond' says nothing"),
        (["=pit"], "'=pit' says nothing"),
        (["pond=pit", "quarry,pond="], "class 'pond' stands twice"),
    ],
)
def test_a_remap_that_can_not_be_read_is_a_matter_of_usage(story, changes, told):
    result = CliRunner().invoke(cli, ["-C", str(story.root), "classes", "remap", *changes])
    assert result.exit_code == 2
    assert told in result.output


def test_soft_classes_are_hardened(root, tmp_path):
    soft = {"id": "s", "class": "pond", "prob_of_class_pond": 0.25, "prob_of_class_quarry": 0.5}
    feature = {"type": "Feature", "properties": soft, "geometry": {"type": "Point", "coordinates": [15.0, 47.0]}}
    path = tmp_path / "soft.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    run(root, "add", "features", str(path))
    assert "would be classes_hardened: 1 feature;" in run(root, "classes", "harden", "--dry-run")
    run(root, "classes", "harden", "--threshold", "0.75")
    [row] = rows(run(root, "features", "--feature", "s", "--json"))
    assert (row["class"], row["prob_of_class_quarry"]) == ("water", 0.5)


def test_additions_that_replace_say_what_they_did(root, story):
    told = rows(
        run(root, "add", "features", str(story.inputs / "more.geojson"), "--crs", "EPSG:32633", "--replace", "--json")
    )
    assert [told[0][name] for name in ("changed", "added", "unchanged")] == [0, 0, 3]
    scenes = str(story.inputs / "second")
    [told] = rows(run(root, "add", "rasters", scenes, "--mode", "link", "--pattern", "[bc].tif", "--replace", "--json"))
    assert [told[name] for name in ("changed", "added", "unchanged")] == [0, 0, 2]


def test_components_are_those_of_python(story):
    dataset = Dataset.open(story.root)
    how = ["--collection", "around", "--by", "object", "--buffer", "50", "--where", "class = 'pond'", "--at", "v1"]
    expected = dataset.components("around", by="object", buffer=50, where="class = 'pond'", at="v1").to_pylist()
    assert rows(run(story.root, "components", *how, "--json")) == expected
    assert run(story.root, "components").splitlines()[0].split() == ["raster_id", "component"]


def test_many_ids_are_asked_for_at_once(story, tmp_path):
    every = rows(run(story.root, "edges", "--json"))
    wanted = sorted({row["feature_id"] for row in every})[:2]
    expected = [row for row in every if row["feature_id"] in wanted]
    assert rows(run(story.root, "edges", "--feature", wanted[0], "--feature", wanted[1], "--json")) == expected
    listed = tmp_path / "ids.txt"
    listed.write_text("\n".join([*wanted, "", wanted[0]]) + "\n")
    assert rows(run(story.root, "edges", "--features-from", str(listed), "--json")) == expected
    piped = run(story.root, "edges", "--features-from", "-", "--feature", wanted[0], "--json", stdin=f"{wanted[1]}\n")
    assert rows(piped) == expected
    assert run(story.root, "edges", "--features-from", "-", "--json", stdin="") == ""
    rasters = sorted({row["raster_id"] for row in every})[:2]
    shown = rows(run(story.root, "features", "--rasters-from", "-", "--json", stdin="\n".join(rasters)))
    assert {row["feature_id"] for row in shown} == {row["feature_id"] for row in every if row["raster_id"] in rasters}


def test_an_id_or_a_file_that_is_not_there_is_named(story, capsys):
    from geographer.cli import main

    for arguments, told in (
        (["--feature", "p1", "--feature", "nobody"], "no feature 'nobody'"),
        (["--rasters-from", "nowhere.txt"], "no such file: 'nowhere.txt'"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["-C", str(story.root), "edges", *arguments])
        assert ended.value.code == 3
        assert told in capsys.readouterr().err
