"""Test virtual chips: windows without files that are read from their rasters, and become files later."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from geographer import Dataset
from tests.operations.pond_dataset import crop_window, list_checksums, list_chips
from tests.sample_history import PART_FRACTIONS

NAMES = ("files", "windows")
OPTIONS: Mapping[str, Any] = {"size": (16, 12), "at_border": "pad", "bands": [2, 1]}


@pytest.fixture(scope="module")
def cut_once(pond_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a dataset with equal chips of files and of windows, with masks and splits of both."""
    root = tmp_path_factory.mktemp("cut") / "dataset"
    shutil.copytree(pond_template, root, symlinks=True)
    dataset = Dataset.open(root)
    dataset.cut_around_features("files", **OPTIONS)
    dataset.cut_around_features("windows", **OPTIONS, virtual=True)
    for name in NAMES:
        dataset.label_masks(f"{name}-mask", collection=name)
        dataset.split(f"{name}-split", collection=name, parts=PART_FRACTIONS)
    return root


@pytest.fixture
def dataset(cut_once: Path, open_copy: Callable[[Path], Dataset]) -> Dataset:
    return open_copy(cut_once)


def read_oracle(dataset: Dataset, chip: dict) -> np.ndarray:
    """Read the window of a chip with rasterio alone: bands 2 and 1, with nodata outside the scene."""
    with rasterio.open(dataset.root / f"rasters/source/{chip['parent_id']}.tif") as raster:
        return crop_window(raster.read([2, 1]), chip, int(raster.nodata))


def test_virtual_cut_writes_no_file(dataset: Dataset) -> None:
    files, windows = list_chips(dataset, "files"), list_chips(dataset, "windows")
    assert not (dataset.root / "rasters/windows").exists()
    assert len(files) == len(windows) > 5
    places = ("parent_id", "col", "row", "width", "height")
    assert [[chip[name] for name in places] for chip in windows] == [[chip[name] for name in places] for chip in files]
    assert any(chip["col"] < 0 or chip["row"] < 0 for chip in windows)
    assert dataset.verify() == []


def test_virtual_chips_read_window_of_raster(dataset: Dataset) -> None:
    for chip in list_chips(dataset, "windows"):
        with dataset.open_raster(chip["raster_id"]) as raster:
            np.testing.assert_array_equal(raster.read(), read_oracle(dataset, chip))
            twin = dataset.open_raster(chip["raster_id"].replace("windows", "files"))
            assert (raster.profile["transform"], raster.nodata) == (twin.profile["transform"], twin.nodata)
            assert (raster.descriptions, raster.tags(), raster.crs) == (twin.descriptions, twin.tags(), twin.crs)


def test_samples_of_virtual_chips_open_with_gdal(dataset: Dataset) -> None:
    samples = dataset.samples(split="windows-split").to_pylist()
    assert len(samples) > 5
    for sample in samples:
        with rasterio.open(sample["path"]) as raster, dataset.open_raster(sample["raster_id"]) as chip:
            np.testing.assert_array_equal(raster.read(), chip.read())


def test_statistics_of_virtual_chips(dataset: Dataset) -> None:
    found = [dataset.compute_statistics(collection=name, labels=f"{name}-mask") for name in NAMES]
    texts = [json.dumps(item.to_dict()["all"]).replace(name, "") for name, item in zip(NAMES, found, strict=True)]
    assert texts[0] == texts[1]


def test_materialised_files_equal_cut(dataset: Dataset) -> None:
    revision = dataset.materialise("windows")
    assert (revision.summary["chips"], revision.kind) == (len(list_chips(dataset, "windows")), "chips_materialised")
    files, windows = (sorted(list_checksums(dataset, f"{name}/").items()) for name in NAMES)
    assert [sha256 for _, sha256 in files] == [sha256 for _, sha256 in windows]
    for chip in list_chips(dataset, "windows"):
        path = dataset.root / f"rasters/{chip['raster_id']}.tif"
        assert path.read_bytes() == Path(str(path).replace("windows", "files")).read_bytes()
    assert dataset.verify() == []
    before = len(dataset.log())
    dataset.update()
    dataset.materialise(())
    assert len(dataset.log()) == before
    assert dataset.rerun_revision(recipe="windows").is_identical
