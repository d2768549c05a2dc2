"""A dataset that commands may change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.sample_history import SampleHistory


@pytest.fixture
def root(sample_history: SampleHistory, tmp_path: Path) -> Path:
    """The folder of a copy of the sample history's dataset."""
    return shutil.copytree(sample_history.root, tmp_path / "dataset")
