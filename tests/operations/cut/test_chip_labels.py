"""Chips take along the labels that users added to their rasters: each gets its window of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geographer import Dataset
from tests.operations.pond_dataset import crop_window
from tests.sample_history import write_scenes
from tests.sample_masks import make_mask, write_mask
from tests.shared_folders import copy_once

IGNORE = 200
PIXELS = {"a": make_mask(1), "b": make_mask(2)}


def create_dataset(folder: Path) -> None:
    """Create two scenes with the labels `mask`, which ignores padding, and `plain`; and chips with a border of padding."""
    dataset = Dataset.init(folder / "dataset", classes=["lake", "quarry"], scm=False)
    dataset.add_rasters(write_scenes(folder / "scenes", "a", "b"))
    for number, (name, pixels) in enumerate(PIXELS.items()):
        write_mask(folder / "masks" / f"{name}.tif", pixels, scene=number)
    dataset.add_labels(folder / "masks", label="mask", collection="source", ignore=IGNORE)
    dataset.add_labels(folder / "masks" / "a.tif", label="plain", collection="source")
    dataset.cut_grid("tiles", size=40, edge="pad")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_once(tmp_path_factory, "labelled-chips", create_dataset)


@pytest.fixture
def dataset(template: Path, tmp_path: Path) -> Dataset:
    return Dataset.open(shutil.copytree(template / "dataset", tmp_path / "dataset", symlinks=True))


def read_labels(dataset: Dataset, recipe: str = "tiles") -> dict[tuple[str, str], np.ndarray]:
    """Return the pixels of the labels of a recipe's chips, after comparing their grids with those of the chips."""
    paths = {raster["raster_id"]: dataset.root / raster["path"] for raster in dataset.rasters().to_pylist()}
    labels = {}
    for row in dataset.labels().to_pylist():
        if row["raster_id"].startswith(f"{recipe}/"):
            with rasterio.open(dataset.root / row["path"]) as label, rasterio.open(paths[row["raster_id"]]) as chip:
                assert (label.transform, label.crs, label.shape) == (chip.transform, chip.crs, chip.shape)
                labels[row["label"], row["raster_id"]] = label.read()
    return labels


def make_expected(dataset: Dataset, pixels: dict[str, np.ndarray], recipe: str = "tiles") -> dict:
    """Return the windows of masks that the labels of chips must be: of `mask` all, of `plain` those of a."""
    expected = {}
    for chip in dataset.chips().to_pylist():
        if chip["raster_id"].startswith(f"{recipe}/"):
            parent = chip["parent_id"]
            expected["mask", chip["raster_id"]] = crop_window(pixels[parent], chip, IGNORE)
            if parent == "a":
                expected["plain", chip["raster_id"]] = crop_window(PIXELS["a"], chip, 0)
    return expected


def require_equal(actual: dict, expected: dict) -> None:
    assert actual.keys() == expected.keys()
    assert [key for key in actual if not np.array_equal(actual[key], expected[key])] == []


def test_chips_get_windows_of_labels(dataset: Dataset) -> None:
    actual = read_labels(dataset)
    assert len(actual) == 8 + 4
    require_equal(actual, make_expected(dataset, PIXELS))
    assert [event.kind for event in dataset.log()[-2:]] == ["labels_added", "chips_cut"]
    assert dataset.verify() == []


def test_update_cuts_new_and_changed_labels(dataset: Dataset, tmp_path: Path) -> None:
    late, pixels = make_mask(5), {**PIXELS, "b": make_mask(7)}
    changed = write_mask(tmp_path / "b.tif", pixels["b"], scene=1)
    dataset.add_labels(changed, label="mask", collection="source", ignore=IGNORE, replace=True)
    dataset.add_labels(write_mask(tmp_path / "a.tif", late), label="late", collection="source")
    before = dataset.sql("SELECT raster_id, md5 FROM rasters ORDER BY raster_id").to_pylist()
    assert [result.kind for result in dataset.update() if result.changed] == ["chips_cut"]
    expected = make_expected(dataset, pixels)
    for chip in dataset.chips().to_pylist():
        if chip["parent_id"] == "a":
            expected["late", chip["raster_id"]] = crop_window(late, chip, 0)
    require_equal(read_labels(dataset), expected)
    assert dataset.sql("SELECT raster_id, md5 FROM rasters ORDER BY raster_id").to_pylist() == before
    assert not any(result.changed for result in dataset.update())


def test_labels_of_chips_end(dataset: Dataset) -> None:
    dataset.remove_rasters(["b"])
    dataset.update()
    assert {key[1].partition("_")[0] for key in read_labels(dataset)} == {"tiles/a"}
    result = dataset.remove_labels("mask")
    assert result.summary["labels"] == 1 + 4
    assert {key[0] for key in read_labels(dataset)} == {"plain"}
    dataset.cut_grid("tiles", size=64, replace=True)
    assert [*read_labels(dataset)] == [("plain", "tiles/a_c0_r0")]
    assert dataset.verify() == []


def test_chips_of_chips_get_labels(dataset: Dataset) -> None:
    dataset.cut_grid("small", size=20, source="tiles")
    actual = read_labels(dataset, "small")
    chips = {chip["raster_id"]: chip for chip in dataset.chips().to_pylist()}
    parents = read_labels(dataset)
    assert len(actual) == 12 * 4
    for (label, chip_id), pixels in actual.items():
        chip = chips[chip_id]
        assert np.array_equal(pixels, crop_window(parents[label, chip["parent_id"]], chip, 0))


def test_labels_added_to_chips_stay(dataset: Dataset, tmp_path: Path) -> None:
    chip = dataset.chips().to_pylist()[0]
    name = chip["raster_id"].partition("/")[2]
    with rasterio.open(dataset.root / f"rasters/tiles/{name}.tif") as file:
        transform = tuple(file.transform)[:6]
    write_mask(tmp_path / f"{name}.tif", make_mask(3, size=40), transform=transform)
    dataset.add_labels(tmp_path / f"{name}.tif", label="own", collection="tiles")
    assert not any(result.changed for result in dataset.update())
    assert np.array_equal(read_labels(dataset)["own", chip["raster_id"]], make_mask(3, size=40))


def test_renamings_cut_nothing_again(dataset: Dataset) -> None:
    dataset.rename_recipe("mask", "annotated")
    dataset.rename_collection("source", "scenes")
    dataset.rename_recipe("tiles", "squares")
    assert not any(result.changed for result in dataset.update())
    assert {path.parent.name for path in (dataset.root / "labels").glob("*/*/*.tif")} == {"scenes", "squares"}
    report = dataset.rerun_revision()
    assert {file.result for file in report.files} == {"identical bytes"}
    assert sum(file.label is not None for file in report.files) == 12


def test_outdated_grid_gives_chips_no_label(dataset: Dataset, tmp_path: Path) -> None:
    """A label that does not fit its raster any more is not cut, also before `update` retires it."""
    write_mask(tmp_path / "a.tif", np.ones((2, 40, 64), np.uint8))
    dataset.add_rasters(tmp_path / "a.tif", replace=True)
    dataset.cut_grid("fresh", size=32)
    assert {key[1].partition("_")[0] for key in read_labels(dataset, "fresh")} == {"fresh/b"}
