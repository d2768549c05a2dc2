"""Fixtures: a dataset that is created once and reset to its empty state for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from geographer import Dataset
from tests.sample_history import point_geometry, write_features


@pytest.fixture
def dataset(open_copy: Callable[[Path], Dataset], empty_dataset: Path) -> Dataset:
    return open_copy(empty_dataset)


@pytest.fixture(scope="package")
def one_pond_once(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pond")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    pond = write_features(folder / "a.geojson", {"a": ("pond", point_geometry(5, 5))})
    dataset.add_features(pond, crs="EPSG:32633")
    return dataset.root


@pytest.fixture
def one_pond(dataset: Dataset, open_copy: Callable[[Path], Dataset], one_pond_once: Path) -> None:
    """Put the pond "a" at (5, 5) into the dataset, as its second event."""
    open_copy(one_pond_once)
