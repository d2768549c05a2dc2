"""Context classes: in the dataset and its graph, but not in labels; declared, changed, renamed, merged, imported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from click.testing import CliRunner

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.cli import geographer_command
from geographer.dataset.training import TrainingReader
from tests.cli.runner import read_rows, run_command
from tests.old_library import write_directory
from tests.sample_history import square_geometry, write_features, write_scenes

SQUARES = {"p": ("pond", 2), "c": ("cloud", 6), "r": ("road", 40)}
"""Class, and the column and row of the first pixel, of squares of 10 pixels; pond and cloud overlap."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("context")
    dataset = Dataset.init(folder / "dataset", classes=["pond", "road"], context_classes=["cloud"], scm=False)
    squares = {name: (kind, square_geometry(place, place, 10)) for name, (kind, place) in SQUARES.items()}
    dataset.add_features(write_features(folder / "squares.geojson", squares), crs="EPSG:32633")
    dataset.add_rasters(write_scenes(folder / "scenes", "a"))
    dataset.label_masks("mask", collection="source")
    dataset.label_multilabel("bands", collection="source")
    dataset.label_boxes("boxes", collection="source")
    return dataset


@pytest.fixture
def dataset(template: Dataset, tmp_path: Path) -> Dataset:
    return Dataset.open(shutil.copytree(template.root, tmp_path / "dataset", symlinks=True))


def draw_mask(*classes: str) -> np.ndarray:
    """Return the expected mask by slices, as the values are: pond 1, road 2, cloud 3; a larger value is on top."""
    mask = np.zeros((64, 64), np.uint8)
    for value, name in enumerate(("pond", "road", "cloud"), 1):
        place = next(place for kind, place in SQUARES.values() if kind == name)
        if name in classes:
            mask[place : place + 10, place : place + 10] = value
    return mask


def read_mask(dataset: Dataset, label: str = "mask") -> np.ndarray:
    opened: Any = dataset.open_label(label, "a")
    with opened:
        bands: np.ndarray = opened.read()
    return bands[0] if label == "mask" else bands


def list_context(dataset: Dataset, at: Any = None) -> list[str]:
    return [row["class"] for row in dataset.classes(at).to_pylist() if row["is_context"]]


def test_labels_do_not_draw_context_classes(dataset: Dataset) -> None:
    assert [event.kind for event in dataset.log()[:2]] == ["dataset_initialised", "context_classes_changed"]
    assert dataset.classes().to_pylist() == [
        {"class": "pond", "value": 1, "features": 1, "is_context": False},
        {"class": "road", "value": 2, "features": 1, "is_context": False},
        {"class": "cloud", "value": 3, "features": 1, "is_context": True},
    ]
    assert sorted(dataset.features_contained_in("a")) == ["c", "p", "r"]
    np.testing.assert_array_equal(read_mask(dataset), draw_mask("pond", "road"))
    assert read_mask(dataset, "bands").shape == (2, 64, 64)
    boxes: Any = dataset.open_label("boxes", "a")
    assert {row["feature_id"] for row in dataset.objects(label="boxes").to_pylist()} == {"p", "r"}
    assert "cloud" not in str(boxes)
    assert dataset.blame_pixel("mask", "a", 8, 8)["feature_id"] == "p"
    assert dataset.blame_pixel("mask", "a", 14, 14)["agrees"]
    assert not any(result.changed for result in dataset.update())


def test_exports_leave_context_out(template: Dataset, tmp_path: Path) -> None:
    TrainingReader.open(template.root).export_samples("coco", tmp_path / "coco", labels=[])
    (path,) = [path for path in (tmp_path / "coco").rglob("*.json") if "annotations" in path.read_text()]
    document = json.loads(path.read_text())
    names = {item["id"]: item["name"] for item in document["categories"]}
    assert sorted(names[item["category_id"]] for item in document["annotations"]) == ["pond", "road"]


def test_changes_of_context_make_labels_again(dataset: Dataset) -> None:
    dataset.set_context_classes("cloud", remove=True)
    dataset.set_context_classes(["road"])
    assert (list_context(dataset), list_context(dataset, 2)) == (["road"], ["cloud"])
    assert len([result for result in dataset.update() if result.changed]) == 3
    np.testing.assert_array_equal(read_mask(dataset), draw_mask("pond", "cloud"))
    opened: Any = dataset.open_label("bands", "a")
    with opened:
        assert opened.descriptions == ("pond", "cloud")
    assert dataset.blame_pixel("mask", "a", 8, 8)["feature_id"] == "c"
    assert not any(result.changed for result in dataset.update())
    n_events = len(dataset.log())
    assert not dataset.set_context_classes("road").changed
    assert len(dataset.log()) == n_events
    assert list(dataset.verify()) == []


def test_names_and_branches_keep_context(dataset: Dataset) -> None:
    dataset.rename_class("cloud", "haze")
    assert list_context(dataset) == ["haze"]
    assert not any(result.changed for result in dataset.update())
    dataset.create_branch("survey")
    dataset.switch_branch("survey")
    dataset.set_context_classes("road")
    dataset.switch_branch("main")
    dataset.add_classes(["cloud"])
    assert list_context(dataset) == ["haze"]
    dataset.merge_branch("survey")
    assert list_context(dataset) == ["road", "haze"]
    dataset.update()
    np.testing.assert_array_equal(read_mask(dataset), draw_mask("pond"))


def test_merges_from_either_side_agree(tmp_path: Path) -> None:
    """The later change counts, and follows a class that got another name beside it."""
    dataset = Dataset.init(tmp_path / "a", classes=["pond", "cloud", "reed", "fog"], scm=False)
    dataset.set_context_classes(["pond", "fog"])
    dataset.create_branch("survey")
    for step in range(3):
        dataset.set_attributes({"step": step})
    dataset.set_context_classes("pond", remove=True)
    dataset.set_context_classes("pond")
    dataset.set_context_classes("cloud")
    dataset.remap_classes({"fog": None})
    dataset.switch_branch("survey")
    dataset.set_context_classes("pond", remove=True)
    dataset.rename_class("cloud", "haze")
    dataset.set_context_classes("reed")
    other = Dataset.open(shutil.copytree(dataset.root, tmp_path / "b", symlinks=True))
    dataset.merge_branch("main")
    other.switch_branch("main")
    other.merge_branch("survey")
    for merged in (dataset, other):
        assert set(list_context(merged)) == {"pond", "haze", "reed"}
        merged.add_classes(["cloud", "fog"])
        assert set(list_context(merged)) == {"pond", "haze", "reed"}
        merged.set_context_classes(["cloud"])
        merged.set_context_classes(["haze"], remove=True)
        assert set(list_context(merged)) == {"pond", "cloud", "reed"}


def test_context_ends_with_class(tmp_path: Path) -> None:
    dataset = Dataset.init(tmp_path / "dataset", classes=["pond"], context_classes=["cloud", "fog"], scm=False)
    dataset.remap_classes({"cloud": None})
    assert list_context(dataset) == ["fog"]
    dataset.add_classes(["cloud"])
    assert list_context(dataset) == ["fog"]
    dataset.revert_event("HEAD")
    dataset.revert_event("@3")
    assert set(list_context(dataset)) == {"cloud", "fog"}
    assert list_context(dataset, 3) == ["fog"]


def test_remaps_that_rename_keep_context(tmp_path: Path) -> None:
    dataset = Dataset.init(tmp_path / "dataset", classes=["pond", "reed"], context_classes=["cloud", "fog"], scm=False)
    dataset.remap_classes({"cloud": "clouds"})
    assert set(list_context(dataset)) == {"clouds", "fog"}
    dataset.remap_classes({"clouds": "haze", "fog": "haze"})
    assert list_context(dataset) == ["haze"]
    dataset.remap_classes({"haze": "pond", "pond": "haze"})
    assert list_context(dataset) == ["pond"]
    dataset.remap_classes({"pond": "water", "reed": "water"})
    assert list_context(dataset) == []
    for position, context in ((6, ["pond"]), (5, ["haze"]), (4, ["clouds", "fog"]), (3, ["cloud", "fog"])):
        dataset.revert_event(f"@{position}")
        assert sorted(list_context(dataset)) == context


def test_reverted_renaming_takes_context_back(dataset: Dataset) -> None:
    dataset.rename_class("cloud", "haze")
    for name in ("cloud", "haze", "cloud"):
        dataset.revert_event("HEAD")
        assert list_context(dataset) == [name]
    dataset.add_classes(["haze"])
    assert list_context(dataset) == ["cloud"]
    dataset.update()
    np.testing.assert_array_equal(read_mask(dataset), draw_mask("pond", "road"))


def test_extracted_dataset_keeps_context(dataset: Dataset, tmp_path: Path) -> None:
    extracted = dataset.extract_collection("source", tmp_path / "extracted", scm=False)
    assert list_context(extracted) == ["cloud"]
    np.testing.assert_array_equal(read_mask(extracted), draw_mask("pond", "road"))
    assert not any(result.changed for result in extracted.update())
    other = Dataset.init(tmp_path / "other", classes=["pond", "road", "cloud"], scm=False)
    result = other.import_dataset(dataset.root)
    assert result.summary["labels"] == 0
    assert any("context class 'cloud'" in text for text in result.summary["warnings"])


def test_other_classes_of_geographer_become_context(tmp_path: Path) -> None:
    boxes = {1: "pond", 2: "river", 3: "pond"}
    vectors = {id: ({"type": kind}, shapely.box(id, 0, id + 1, 1)) for id, kind in boxes.items()}
    directory = write_directory(tmp_path / "old", vectors, {"r": ({}, shapely.box(0, 0, 9, 9))}, {})
    dataset = Dataset.init(tmp_path / "dataset", scm=False)
    dataset.import_geographer(directory)
    assert list_context(dataset) == ["river"]
    explicit = Dataset.init(tmp_path / "explicit", scm=False)
    explicit.import_geographer(directory, class_="type")
    assert list_context(explicit) == []


def test_context_on_command_line(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    run_command(tmp_path, "init", str(root), "--class", "pond", "--context-class", "cloud", "--no-scm")
    assert "class shadow, context shadow" in run_command(root, "add", "classes", "shadow", "--context")
    run_command(root, "classes", "context", "cloud", "--remove")
    columns = ("class", "value", "is_context")
    rows = [tuple(row[name] for name in columns) for row in read_rows(root, "classes", "list")]
    assert rows == [("pond", 1, False), ("cloud", 2, False), ("shadow", 3, True)]
    for words, code in ((["nothing"], 3), ([], 2), (["pond", "nothing"], 3)):
        result = CliRunner().invoke(geographer_command, ["-C", str(root), "classes", "context", *words])
        assert getattr(result.exception, "exit_code", result.exit_code) == code
    assert len(Dataset.open(root).log()) == 4


def test_bad_context_changes_nothing(tmp_path: Path) -> None:
    dataset = Dataset.init(tmp_path / "dataset", classes=["pond"], background="none", scm=False)
    with pytest.raises(UsageError, match="'none' is the background"):
        dataset.set_context_classes(["pond", "none"])
    with pytest.raises(UsageError, match="no class is named"):
        dataset.set_context_classes([])
    with pytest.raises(NotFoundError, match="no class 'lake'"):
        dataset.set_context_classes("lake")
    with pytest.raises(ConflictError, match="'pond' is in the dataset"):
        dataset.add_classes(["pond"], context=True)
    assert len(dataset.log()) == 1
    with pytest.raises(UsageError, match="repeated or empty"):
        Dataset.init(tmp_path / "other", classes=["pond"], context_classes=["pond"], scm=False)
    assert not (tmp_path / "other").exists()
    dataset.set_context_classes(["pond"])
    dataset.add_features(
        write_features(tmp_path / "p.geojson", {"p": ("pond", square_geometry(0, 0, 5))}), crs="EPSG:32633"
    )
    dataset.add_rasters(write_scenes(tmp_path / "scenes", "a"))
    with pytest.raises(UsageError, match="no class with a value above 0"):
        dataset.label_masks("mask", collection="source")
