"""A dataset that many tests begin with, opened once: what opens DuckDB's and DVC's engines takes longest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from geographer import Dataset


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
