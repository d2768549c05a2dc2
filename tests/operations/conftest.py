"""A dataset that many tests begin with, opened once: what opens DuckDB's and DVC's engines takes longest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from geographer import Dataset
from tests.operations.pond_dataset import LAKE, POINTS, SCENES, gather
from tests.sample_history import square, write_features, write_scenes


@pytest.fixture(scope="package")
def opened(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.open(shutil.copytree(empty_dataset, tmp_path_factory.mktemp("recipes") / "dataset"))


@pytest.fixture(scope="package")
def begun(opened: Dataset) -> Callable[[Path], Dataset]:
    """The opened dataset, made what the dataset in another folder is."""

    def begin(template: Path) -> Dataset:
        shutil.rmtree(opened.root)
        shutil.copytree(template, opened.root)
        return opened

    return begin


@pytest.fixture(scope="package")
def gathered_once(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gathered")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    gather(dataset, folder / "inputs", POINTS)
    lake = write_features(folder / "lake.geojson", {"lake": ("lake", square(*LAKE))})
    dataset.add_features(lake, crs="EPSG:32633")
    dataset.add_rasters(write_scenes(folder / "inputs", *SCENES))
    return dataset.root


@pytest.fixture
def gathered(gathered_once: Path, begun: Callable[[Path], Dataset]) -> Dataset:
    """Nine points close together, four apart, a lake, and two scenes that share 16 columns."""
    return begun(gathered_once)
