"""A merge never loses labels that users added as files without a word: no recipe can make them again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from geographer import ConflictError, Dataset
from tests.operations.add.test_labels import create_dataset, read_label
from tests.sample_masks import make_mask, write_mask
from tests.shared_folders import copy_once


@pytest.fixture
def dataset(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Dataset:
    template = copy_once(tmp_path_factory, "label-files", create_dataset)
    return Dataset.open(shutil.copytree(template / "dataset", tmp_path / "dataset", symlinks=True))


def add_mask(dataset: Dataset, folder: Path, raster_id: str, **options) -> None:
    scene = "ab".index(raster_id)
    file = write_mask(folder / f"{raster_id}.tif", make_mask(scene + 1), scene=scene)
    dataset.add_labels(file, label="mask", collection="source", **options)


def list_labels(dataset: Dataset) -> list[tuple[str, str]]:
    return sorted((row["label"], row["raster_id"]) for row in dataset.labels().to_pylist())


def test_other_parameters_are_refused_until_one_label_is_renamed(dataset: Dataset, tmp_path: Path) -> None:
    dataset.create_branch("side")
    add_mask(dataset, tmp_path, "a", ignore=9)
    dataset.switch_branch("side")
    add_mask(dataset, tmp_path, "b", ignore=8)
    position = len(dataset.log())
    with pytest.raises(ConflictError, match=r"label 'mask' .* ignore 8 here and 9 there.*raster 'a' there .*rename re"):
        dataset.merge_branch("main")
    dataset.switch_branch("main")
    with pytest.raises(ConflictError, match="raster 'b' there"):
        dataset.merge_branch("side", on_conflict="ours")
    assert len(dataset.log()) == position
    dataset.rename_recipe("mask", "survey")
    assert dataset.merge_branch("side").summary["conflicts"] == 0
    assert list_labels(dataset) == [("mask", "b"), ("survey", "a")]
    assert np.array_equal(read_label(dataset, "b"), make_mask(2))
    assert dataset.verify() == []


def test_removal_takes_only_labels_that_it_knew(dataset: Dataset, tmp_path: Path) -> None:
    add_mask(dataset, tmp_path, "a")
    dataset.create_branch("side")
    dataset.create_branch("still")
    add_mask(dataset, tmp_path, "b")
    dataset.switch_branch("side")
    dataset.remove_labels("mask")
    with pytest.raises(ConflictError, match=r"removed here\. The files of raster 'b' there"):
        dataset.merge_branch("main")
    dataset.switch_branch("still")
    dataset.describe(title="Lakes")
    dataset.merge_branch("side")
    assert list_labels(dataset) == []


def test_revert_keeps_labels_of_later_events(dataset: Dataset, tmp_path: Path) -> None:
    add_mask(dataset, tmp_path, "a")
    first = dataset.log()[-1].position
    add_mask(dataset, tmp_path, "b")
    with pytest.raises(ConflictError, match="raster 'b' here"):
        dataset.revert_event(first)
    dataset.revert_event(dataset.log()[-1].position)
    dataset.revert_event(first)
    assert list_labels(dataset) == []


def test_masks_keep_their_classes(dataset: Dataset, tmp_path: Path) -> None:
    add_mask(dataset, tmp_path, "a")
    dataset.create_branch("side")
    dataset.add_classes(["reed"])
    dataset.switch_branch("side")
    dataset.add_classes(["sea"])
    assert dataset.merge_branch("main", dry_run=True).summary["renumbered"]  # The mask is older than both classes.
    add_mask(dataset, tmp_path, "b")
    dataset.switch_branch("main")
    other = write_mask(tmp_path / "other" / "a.tif", make_mask(5))
    dataset.add_labels(other, label="mask", collection="source", replace=True)
    with pytest.raises(
        ConflictError, match=r"class '(reed|sea)' would get the value 4 in place of 3, but label 'mask'"
    ):
        dataset.merge_branch("side")


def test_new_classes_leave_ignored_values(dataset: Dataset, tmp_path: Path) -> None:
    dataset.create_branch("side")
    dataset.add_classes(["reed"])
    dataset.switch_branch("side")
    add_mask(dataset, tmp_path, "a", ignore=3)
    dataset.merge_branch("main")
    assert dataset.classes()["value"].to_pylist() == [1, 2, 4]
    assert dataset.verify() == []
