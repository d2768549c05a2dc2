"""What every test stands on: a home of its own, and an empty dataset to begin with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from geographer import Dataset
from tests.sample_history import Story, told

# In CI the examples are the same on every run; by hand they differ, and find more.
settings.register_profile("ci", derandomize=True, database=None)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(autouse=True, scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home of its own, so that neither Git nor DVC reads or writes anything of the person who runs this."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_", "XDG_", "GEOGRAPHER_"))]:
            patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("DVC_NO_ANALYTICS", "1")
        for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
            patch.setenv(name, str(home / name.lower()))
        patch.setenv("GEOGRAPHER_AUTHOR", "Ada")
        yield


@pytest.fixture(scope="session")
def empty_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a dataset without Git in which nothing has happened yet; copy it before anything does."""
    return Dataset.init(tmp_path_factory.mktemp("template") / "dataset", scm=False).root


@pytest.fixture
def dataset(tmp_path: Path, empty_dataset: Path) -> Dataset:
    """An empty dataset in `tmp_path / "dataset"`."""
    return Dataset.open(shutil.copytree(empty_dataset, tmp_path / "dataset"))


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A dataset with every kind of event in its history, and how it was at its tag v1; copy before you change it."""
    return told(tmp_path_factory.mktemp("story"))
