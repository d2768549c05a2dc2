"""Fixtures: the dataset to train on, which all tests read."""

from __future__ import annotations

import pytest

from tests.shared_folders import copy_once
from tests.torch.training_dataset import TrainingFolders, create_training_dataset, locate_training_dataset


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> TrainingFolders:
    """A dataset to train on, and a checkout of it; copy them before changing them."""
    return locate_training_dataset(copy_once(tmp_path_factory, "training", create_training_dataset))
