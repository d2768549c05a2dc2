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
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.cli.diff_report import format_diff
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


def test_chip_dataset_reads_windows(dataset: Dataset) -> None:
    torch = pytest.importorskip("torch")
    from geographer.torch import ChipDataset

    files, windows = (ChipDataset(dataset, collection=name, labels=f"{name}-mask", valid=True) for name in NAMES)
    assert len(files) == len(windows)
    for ours, theirs in zip(windows, files, strict=True):
        for key in ("image", "mask", "valid", "transform", "bounds"):
            assert torch.equal(ours[key], theirs[key])


def test_exports_write_files_of_windows(dataset: Dataset, tmp_path: Path) -> None:
    for name in NAMES:
        dataset.export_samples("geopackage", tmp_path / "tables" / name, collection=name)
        dataset.export_samples("folder", tmp_path / name, collection=name)
    files, windows = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("images/**/*.tif")} for name in NAMES
    )
    assert windows == files
    assert len(files) > 5


def test_pictures_of_windows(dataset: Dataset) -> None:
    pytest.importorskip("matplotlib")
    (chip, *_) = list_chips(dataset, "windows")
    ids = [chip["raster_id"].replace("windows", name) for name in NAMES]
    files, windows = (dataset.plot.chips(raster_id, labels=[]).to_svg().replace(raster_id, "") for raster_id in ids)
    assert windows.count("<image") == 1
    assert [line for line in windows.splitlines() if "<image" in line] == [
        line for line in files.splitlines() if "<image" in line
    ]


def test_masks_of_windows(dataset: Dataset) -> None:
    labels = {row["raster_id"]: row for row in dataset.labels().to_pylist()}
    for chip in list_chips(dataset, "windows"):
        paths = [labels[chip["raster_id"].replace("windows", name)]["path"] for name in NAMES]
        assert len({(dataset.root / path).read_bytes() for path in paths}) == 1


def test_update_cuts_windows_of_replaced_raster_again(dataset: Dataset, tmp_path: Path) -> None:
    (chip, *_) = list_chips(dataset, "windows")
    with rasterio.open(dataset.root / f"rasters/source/{chip['parent_id']}.tif") as raster:
        profile, pixels = raster.profile, raster.read()
    path = tmp_path / f"{chip['parent_id']}.tif"
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(pixels + 1)
    before = len(dataset.log())
    dataset.add_rasters(path, replace=True)
    with pytest.raises(ConflictError, match="geographer update"):
        dataset.open_raster(chip["raster_id"])
    with dataset.open_raster(chip["raster_id"], at=f"@{before}") as raster:
        inside = raster.read() != raster.nodata
    dataset.update()
    with dataset.open_raster(chip["raster_id"]) as raster:
        np.testing.assert_array_equal(raster.read(), read_oracle(dataset, chip))
        assert inside.any()
    dataset.remove_rasters([chip["parent_id"]])
    with pytest.raises(NotFoundError, match="no longer in the dataset"):
        dataset.open_raster(chip["raster_id"])
    assert dataset.verify() == []


def test_replaced_recipe_makes_files_of_windows(dataset: Dataset) -> None:
    dataset.cut_around_features("windows", **OPTIONS, replace=True)
    files, windows = (sorted(list_checksums(dataset, f"{name}/").items()) for name in NAMES)
    assert [sha256 for _, sha256 in files] == [sha256 for _, sha256 in windows]


@pytest.mark.parametrize(
    ("recipe", "error", "message"),
    [
        ("nothing", NotFoundError, "geographer status"),
        ("windows-mask", ConflictError, "does not cut chips"),
        ("files", None, ""),
    ],
)
def test_materialise_refuses_other_recipes(
    dataset: Dataset, recipe: str, error: type[Exception] | None, message: str
) -> None:
    before = len(dataset.log())
    if error is None:
        dataset.materialise(recipe)
    else:
        with pytest.raises(error, match=message):
            dataset.materialise(recipe)
    assert len(dataset.log()) == before


@pytest.mark.parametrize("value", [-1, 70_000, 0.5])
def test_pad_value_must_fit_pixels(dataset: Dataset, value: float) -> None:
    with pytest.raises(UsageError, match="invalid pad value"):
        dataset.cut_around_features("padded", size=(16, 12), at_border="pad", pad_value=value, virtual=True)


def test_materialised_files_equal_cut(dataset: Dataset) -> None:
    revision = dataset.materialise("windows")
    assert (revision.summary["chips"], revision.kind) == (len(list_chips(dataset, "windows")), "chips_materialised")
    files, windows = (sorted(list_checksums(dataset, f"{name}/").items()) for name in NAMES)
    assert [sha256 for _, sha256 in files] == [sha256 for _, sha256 in windows]
    for chip in list_chips(dataset, "windows"):
        path = dataset.root / f"rasters/{chip['raster_id']}.tif"
        assert path.read_bytes() == Path(str(path).replace("windows", "files")).read_bytes()
    lines = [line for line in format_diff(dataset.diff("HEAD~1", "HEAD"), ["objects"], 10) if "storage virtual" in line]
    assert lines
    assert not any("other pixels" in line for line in lines)
    assert dataset.verify() == []
    before = len(dataset.log())
    dataset.update()
    dataset.materialise(())
    assert len(dataset.log()) == before
    assert dataset.rerun_revision(recipe="windows").is_identical


def test_impact_of_materialised_chips_is_none(dataset: Dataset) -> None:
    dataset.split("parts", collection="windows", parts={"train": 0.5, "test": 0.5})
    dataset.materialise("windows")
    impact = dataset.compute_impact("HEAD~1", "HEAD", split="parts", subset="test")
    members = [
        row["raster_id"] for row in dataset.splits().to_pylist() if row["split"] == "parts" and row["part"] == "test"
    ]
    assert members
    assert impact.common == sorted(members)
    assert not any(chip.has_other_pixels or chip.differs for chip in impact.change.chips)
