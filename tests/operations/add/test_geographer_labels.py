"""Labels of a GeoGrapher 1.0 directory become a label; files that do not fit are counted with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely

from geographer import Dataset, UsageError
from tests.old_library import Objects, write_directory
from tests.sample_history import write_scenes
from tests.sample_masks import make_mask, write_mask

FOOTPRINT = shapely.box(15.0, 46.9, 15.02, 46.96)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """A dataset in which the class quarry has another value than in the directory."""
    return Dataset.init(tmp_path / "dataset", classes=["quarry"], scm=False)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with two rasters, whose classes are water (background), pond and quarry."""
    rasters: Objects = {name: ({}, FOOTPRINT) for name in ("a.tif", "b.tif")}
    folder = write_directory(tmp_path / "old", {}, rasters, edges={}, background="water")
    write_scenes(folder / "rasters", "a", "b")
    return folder


def read_label(dataset: Dataset, raster_id: str, label: str = "labels") -> tuple[np.ndarray, tuple[str | None, ...]]:
    with rasterio.open(dataset.root / f"labels/{label}/source/{raster_id}.tif") as file:
        return file.read(), file.descriptions


def test_categorical_labels_are_imported(dataset: Dataset, directory: Path) -> None:
    for number, name in enumerate(("a", "b")):
        write_mask(directory / "labels" / f"{name}.tif", make_mask(number), scene=number, nodata=0)
    result = dataset.import_geographer(directory, label="old")
    assert (result.summary["labels"], result.summary["left_aside_labels"], result.summary["warnings"]) == (2, 0, [])
    assert dataset.status()["recipes"] == ["old (label files)"]
    pixels, _ = read_label(dataset, "a", "old")
    assert np.array_equal(pixels, np.array([0, 2, 1])[make_mask(0)])
    assert dataset.verify() == []


@pytest.mark.parametrize("has_background_band", [False, True])
def test_soft_labels_are_imported(dataset: Dataset, directory: Path, has_background_band: bool) -> None:
    bands = np.random.default_rng(1).random((2, 64, 64)).astype(np.float32) / 2
    written = np.concatenate([1 - bands.sum(axis=0, keepdims=True), bands]) if has_background_band else bands
    write_mask(directory / "labels" / "a.tif", written)
    assert dataset.import_geographer(directory).summary["labels"] == 1
    pixels, names = read_label(dataset, "a")
    assert names == ("quarry", "pond")
    assert np.array_equal(pixels, bands[::-1])


def test_unusable_labels_are_counted(dataset: Dataset, directory: Path) -> None:
    labels = directory / "labels"
    write_mask(labels / "a.tif", make_mask(values=9))
    write_mask(labels / "gone.tif")
    write_mask(labels / "b.tif", scene=0)
    result = dataset.import_geographer(directory)
    assert (result.summary["rasters"], result.summary["labels"], result.summary["left_aside_labels"]) == (2, 0, 3)
    (warning,) = result.summary["warnings"]
    for text in ("3 label files not imported", "unknown values", "no imported raster has its name", "not on the grid"):
        assert text in warning
    assert dataset.status()["recipes"] == []


def test_taken_name_leaves_labels_out(dataset: Dataset, directory: Path, tmp_path: Path) -> None:
    write_mask(directory / "labels" / "a.tif")
    dataset.add_rasters(write_scenes(tmp_path / "scenes", "c", offset=3), collection="labels")
    result = dataset.import_geographer(directory)
    assert (result.summary["rasters"], result.summary["labels"]) == (2, 0)
    assert "a collection 'labels' exists already" in result.summary["warnings"][0]
    with pytest.raises(UsageError, match="invalid label name"):
        dataset.import_geographer(directory, label="a/b")
