"""Six chips of a scene, as they are, with a split, and with a feature on chips of two parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from geographer import Dataset
from tests.operations.split.chip_dataset import PONDS, SIZE, add_marsh, add_points, map_parts
from tests.sample_rasters import make_pixels, write_scene


@pytest.fixture(scope="package")
def chip_template(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chip_dataset")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    add_points(dataset, folder / "inputs", PONDS)
    dataset.add_rasters(write_scene(folder / "a.tif", make_pixels(1, 64, 128, "uint8"), nodata=0))
    dataset.cut_around_features("chips", size=SIZE, where="class <> 'marsh'")
    return dataset.root


@pytest.fixture
def chip_dataset(chip_template: Path, open_copy: Callable[[Path], Dataset]) -> Dataset:
    """Six chips of a scene without common features or pixels."""
    return open_copy(chip_template)


@pytest.fixture(scope="package")
def split_template(
    chip_template: Path, open_copy: Callable[[Path], Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    dataset = open_copy(chip_template)
    dataset.split("parts", collection="chips", parts={"train": 2 / 3, "test": 1 / 3})
    return shutil.copytree(dataset.root, tmp_path_factory.mktemp("split_dataset") / "dataset")


@pytest.fixture
def split_dataset(split_template: Path, open_copy: Callable[[Path], Dataset]) -> Dataset:
    """The six chips, four in train and two in test."""
    return open_copy(split_template)


@pytest.fixture(scope="package")
def conflict_template(
    split_template: Path, open_copy: Callable[[Path], Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    dataset, folder = open_copy(split_template), tmp_path_factory.mktemp("conflict_dataset")
    parts = map_parts(dataset)
    first = next(number for number in range(5) if parts[f"p{number}"] != parts[f"p{number + 1}"])
    add_marsh(dataset, folder / "inputs", "marsh", PONDS[f"p{first}"][0], 21)
    add_points(dataset, folder / "inputs", {"apart": (60.5, 10.5)})
    dataset.cut_around_features("chips", size=SIZE, where="class <> 'marsh'")
    return shutil.copytree(dataset.root, folder / "dataset")


@pytest.fixture
def conflict_dataset(conflict_template: Path, open_copy: Callable[[Path], Dataset]) -> Dataset:
    """A marsh on a chip of each part, and a new pond on neither."""
    return open_copy(conflict_template)
