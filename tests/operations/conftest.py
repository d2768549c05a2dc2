"""A dataset with points, a lake and two scenes, opened once: opening the engines of DuckDB and DVC takes longest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from geographer import Dataset
from tests.operations.pond_dataset import LAKE, POINTS, SCENE_OFFSETS, add_points
from tests.sample_history import square_geometry, write_features, write_scenes


@pytest.fixture(scope="package")
def open_dataset(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.open(shutil.copytree(empty_dataset, tmp_path_factory.mktemp("recipes") / "dataset"))


@pytest.fixture(scope="package")
def open_copy(open_dataset: Dataset) -> Callable[[Path], Dataset]:
    """Return a function that replaces the folder of the open dataset by a copy of another dataset."""

    def replace_folder(template: Path) -> Dataset:
        shutil.rmtree(open_dataset.root)
        shutil.copytree(template, open_dataset.root)
        return open_dataset

    return replace_folder


@pytest.fixture(scope="package")
def pond_template(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ponds")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    add_points(dataset, folder / "inputs", POINTS)
    lake = write_features(folder / "lake.geojson", {"lake": ("lake", square_geometry(*LAKE))})
    dataset.add_features(lake, crs="EPSG:32633")
    dataset.add_rasters(write_scenes(folder / "inputs", *SCENE_OFFSETS))
    return dataset.root


@pytest.fixture
def pond_dataset(pond_template: Path, open_copy: Callable[[Path], Dataset]) -> Dataset:
    """Return a dataset with nine clustered points, four isolated ones, a lake, and two scenes that share 16 columns."""
    return open_copy(pond_template)
