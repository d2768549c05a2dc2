"""Datasets to download into: the one that the package opened once, empty again for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from geographer import Dataset


@pytest.fixture
def dataset(begun: Callable[[Path], Dataset], empty_dataset: Path) -> Dataset:
    return begun(empty_dataset)
