"""Datasets with a scene in 16 chips, made once: without labels, and with labels of every kind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from geographer import Dataset
from tests.operations.label.label_dataset import KINDS, create_dataset
from tests.shared_folders import copy_once


def create_templates(folder: Path) -> None:
    """Create both datasets in `folder`."""
    shutil.copytree(create_dataset(folder).root, folder / "labelled", symlinks=True)
    labelled = Dataset.open(folder / "labelled")
    for name, (method, options) in KINDS.items():
        getattr(labelled, method)(name, collection="grid", **options)


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_once(tmp_path_factory, "label_templates", create_templates)


@pytest.fixture(scope="session")
def dataset_template(templates: Path) -> Path:
    """The dataset without labels; copy it before changing it."""
    return templates / "dataset"


@pytest.fixture(scope="session")
def labelled_template(templates: Path) -> Path:
    """The dataset with labels of every kind; copy it before changing it."""
    return templates / "labelled"
