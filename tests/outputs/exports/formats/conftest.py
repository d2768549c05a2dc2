"""The chips that several formats export, and what rasterio reads of them."""

from __future__ import annotations

import pytest

from geographer import Dataset
from tests.outputs.exports.chip_dataset import create_chips, read_chip_samples
from tests.outputs.exports.shape_dataset import create_dataset
from tests.shared_folders import copy_once


@pytest.fixture(scope="session")
def chips(tmp_path_factory):
    """A dataset of chips; tests must not change it."""
    return Dataset.open(copy_once(tmp_path_factory, "chip-dataset", create_chips) / "dataset")


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A dataset of rasters that differ in size, bands and rotation; tests must not change it."""
    return Dataset.open(copy_once(tmp_path_factory, "shape-dataset", create_dataset) / "dataset")


@pytest.fixture(scope="session")
def chip_samples(chips):
    return read_chip_samples(chips)
