"""A remap of classes gives the pixels of added masks the new values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from geographer import ConflictError, Dataset
from tests.sample_history import write_scenes
from tests.sample_masks import make_mask, write_mask

PIXELS = make_mask(1, values=4)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    dataset = Dataset.init(tmp_path / "dataset", classes=["lake", "quarry", "reed"], scm=False)
    dataset.add_rasters(write_scenes(tmp_path / "scenes", "a"))
    dataset.add_labels(write_mask(tmp_path / "a.tif", PIXELS), label="mask", collection="source", ignore=200)
    dataset.cut_grid("tiles", size=32)
    return dataset


def read_mask(dataset: Dataset, path: str = "source/a") -> np.ndarray:
    with rasterio.open(dataset.root / f"labels/mask/{path}.tif") as file:
        return file.read()


def test_remap_rewrites_added_masks(dataset: Dataset) -> None:
    result = dataset.remap_classes({"reed": "lake", "quarry": None})
    assert result.kind == "classes_remapped"
    expected = np.array([0, 1, 0, 1], np.uint8)[PIXELS]
    assert np.array_equal(read_mask(dataset), expected)
    dataset.update()
    assert np.array_equal(read_mask(dataset, "tiles/a_c32_r0"), expected[:, :32, 32:])
    assert dataset.verify() == []
    assert "rewritten" in dataset.blame_pixel("mask", "a", 0, 0)["sentences"][-1]


def test_new_names_leave_masks(dataset: Dataset) -> None:
    before = dataset.labels()["md5"].to_pylist()
    dataset.remap_classes({"reed": "rush"})
    dataset.rename_class("rush", "sedge")
    dataset.update()
    assert dataset.labels()["md5"].to_pylist() == before


def test_remap_refuses_bands_of_classes(dataset: Dataset, tmp_path: Path) -> None:
    write_mask(tmp_path / "bands" / "a.tif", np.zeros((3, 64, 64), np.uint8))
    dataset.add_labels(tmp_path / "bands", label="bands", collection="source", form="multilabel")
    for change in (
        lambda: dataset.remap_classes({"reed": "lake"}),
        lambda: dataset.remap_classes({"reed": "rush"}),
        lambda: dataset.rename_class("reed", "rush"),
    ):
        with pytest.raises(ConflictError, match="label 'bands' has a band for each class"):
            change()


def test_ignored_pixels_never_become_a_class(dataset: Dataset, tmp_path: Path) -> None:
    masks = write_mask(tmp_path / "more" / "a.tif", np.where(PIXELS == 3, 4, PIXELS).astype(np.uint8))
    dataset.add_labels(masks, label="more", collection="source", ignore=4)
    dataset.add_classes(["pond"])
    assert {row["class"]: row["value"] for row in dataset.classes().to_pylist()}["pond"] == 5
    dataset.remap_classes({"pond": None, "quarry": "lake"})
    with rasterio.open(dataset.root / "labels/more/source/a.tif") as file:
        assert np.array_equal(file.read(), np.array([0, 1, 1, 4], np.uint8)[PIXELS])
