"""`--replace` of label recipes: which labels stay, change, move or go."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError


@pytest.fixture(scope="module")
def masked_template(dataset_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replace")
    dataset = Dataset.open(shutil.copytree(dataset_template, folder / "dataset", symlinks=True))
    dataset.cut_grid("large", size=32)
    dataset.label_masks("mask", collection="grid")
    return dataset.root


@pytest.fixture
def dataset(masked_template: Path, open_copy: Callable[[Path], Dataset]) -> Dataset:
    """A scene in 16 and in 4 chips; the 16 have masks."""
    return open_copy(masked_template)


def list_labels(dataset: Dataset, name: str = "mask", at: int | None = None) -> dict[str, tuple[str, str]]:
    """Path and MD5 of each label, by raster id."""
    rows = dataset.labels(where=f"label = '{name}'", at=at).to_pylist()
    return {row["raster_id"]: (row["path"], row["md5"]) for row in rows}


def list_files(dataset: Dataset) -> dict[str, int]:
    """Modification time of each label file, by path."""
    paths = (path for path in (dataset.root / "labels").rglob("*") if path.is_file() and path.suffix != ".dvc")
    return {path.relative_to(dataset.root).as_posix(): path.stat().st_mtime_ns for path in paths}


def list_parameters(dataset: Dataset) -> dict[str, Any]:
    return dict(dataset.log(1)[0].payload["recipe"]["parameters"])


def assert_equals_new_labels(
    dataset: Dataset, make_labels: Callable[..., Any], collection: str, **options: Any
) -> None:
    """Assert that the labels equal those that a new recipe makes, that no update follows, and that files are intact."""
    assert not any(result.changed for result in dataset.update())
    labels, objects = list_labels(dataset), dataset.objects(where="label = 'mask'").to_pylist()
    make_labels("new", collection=collection, **options)
    new_labels, new_objects = list_labels(dataset, "new"), dataset.objects(where="label = 'new'").to_pylist()
    expected = {raster_id: (path.replace("/new/", "/mask/"), md5) for raster_id, (path, md5) in new_labels.items()}
    assert labels == expected
    assert objects == [{**row, "label": "mask"} for row in new_objects]
    assert {path for path in list_files(dataset) if path.startswith("labels/mask/")} == {
        path for path, _ in labels.values()
    }
    assert dataset.verify() == []


def test_changed_recipe_needs_replace(dataset: Dataset) -> None:
    head = dataset.log(1)
    with pytest.raises(ConflictError, match="pass --replace to change the recipe"):
        dataset.label_masks("mask", collection="grid", overlap="newest")
    with pytest.raises(NotFoundError, match="no recipe 'absent' to replace"):
        dataset.label_masks("absent", collection="grid", replace=True)
    assert dataset.log(1) == head


def test_replace_keeps_equal_labels(dataset: Dataset) -> None:
    before, files, position = list_labels(dataset), list_files(dataset), dataset.log(1)[0].position
    result = dataset.label_masks("mask", collection="grid", overlap="smallest-on-top", replace=True)
    after = list_labels(dataset)
    changed = {raster_id for raster_id in after if before[raster_id] != after[raster_id]}
    assert changed == {f"grid/a_c{column}_r{row}" for column in (0, 16) for row in (0, 16)}
    assert (result.summary["masks"], result.summary["retired"]) == (4, 0)
    assert {path for path, time in list_files(dataset).items() if files[path] != time} == {
        after[id][0] for id in changed
    }
    dataset.checkout(f"@{position}")
    assert list_labels(dataset, at=position) == before
    dataset.checkout("HEAD")
    assert list_parameters(dataset)["overlap"] == "smallest-on-top"
    assert_equals_new_labels(dataset, dataset.label_masks, "grid", overlap="smallest-on-top")


def test_replace_without_changed_pixels_records_recipe(dataset: Dataset) -> None:
    before, files = list_labels(dataset), list_files(dataset)
    result = dataset.label_masks("mask", collection="grid", ignore_where="depth > 99", ignore=9, replace=True)
    assert (result.changed, result.summary["masks"], result.summary["retired"]) == (True, 0, 0)
    assert (list_labels(dataset), list_files(dataset)) == (before, files)
    assert list_parameters(dataset)["ignore"] == 9
    assert not dataset.label_masks("mask", collection="grid", ignore_where="depth > 99", ignore=9).changed
    with pytest.raises(ConflictError, match="with --ignore 9"):
        dataset.label_masks("mask", collection="grid")


def test_replace_with_same_parameters_changes_nothing(dataset: Dataset) -> None:
    assert not dataset.label_masks("mask", collection="grid", replace=True).changed


def test_replace_moves_labels_to_other_suffix(dataset: Dataset) -> None:
    before = list_labels(dataset)
    result = dataset.label_boxes("mask", collection="grid", replace=True)
    assert (result.summary["labels"], result.summary["retired"]) == (16, 0)
    assert {Path(path).suffix for path in list_files(dataset)} == {".json"}
    assert len(dataset.objects()) > 0
    assert_equals_new_labels(dataset, dataset.label_boxes, "grid")
    dataset.label_masks("mask", collection="grid", replace=True)
    assert list_labels(dataset) == before
    assert len(dataset.objects(where="label = 'mask'")) == 0


def test_replace_retires_labels_of_other_collection(dataset: Dataset) -> None:
    result = dataset.label_instances("mask", collection="large", replace=True)
    assert (result.summary["labels"], result.summary["retired"]) == (4, 16)
    assert {Path(path).parent.as_posix() for path in list_files(dataset)} == {"labels/mask/large"}
    assert_equals_new_labels(dataset, dataset.label_instances, "large")


def test_replace_validates_columns(dataset: Dataset) -> None:
    dataset.label_probabilities("mask", collection="grid", replace=True)
    head = dataset.log(1)
    with pytest.raises(NotFoundError, match="column 'wet' of features not found"):
        dataset.label_probabilities("mask", collection="grid", columns={"pond": "wet"}, replace=True)
    assert dataset.log(1) == head
    dataset.label_probabilities("mask", collection="grid", combine="max", replace=True)


def test_recipe_takes_over_kept_labels(dataset: Dataset) -> None:
    """Labels that a removed recipe left are made again as the new recipe of that name has them."""
    dataset.remove_recipe("mask", keep=True)
    assert dataset.label_masks("mask", collection="grid", overlap="smallest-on-top").summary["masks"] == 4
    assert_equals_new_labels(dataset, dataset.label_masks, "grid", overlap="smallest-on-top")
