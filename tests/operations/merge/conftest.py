"""The base dataset of merges."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operations.merge.forked_dataset import create_base
from tests.shared_folders import copy_once


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with features, rasters, chips, masks and a split; copy it before changing it."""
    return copy_once(tmp_path_factory, "merge_base", create_base) / "dataset"
