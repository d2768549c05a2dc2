"""A team: Ada's dataset in a Git repository, and a folder as DVC's remote, which she has pushed to."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from geographer import Dataset
from tests.sample_history import point_geometry, write_features, write_scenes

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
"""Whether the tests run in their long form."""

Case = TypeVar("Case")

REMOTE_SETTINGS = "[core]\n    analytics = false\n    remote = origin\n['remote \"origin\"']\n    url = ../../remote\n"


class Team(NamedTuple):
    """The folder of a team; its parts lie beside each other, so that a copy of all works like the original."""

    folder: Path

    @property
    def ada(self) -> Path:
        """Ada's dataset, a Git repository."""
        return self.folder / "ada"

    @property
    def remote(self) -> Path:
        """The folder that is DVC's remote `origin`."""
        return self.folder / "remote"

    def clone(self, name: str, source: Path | None = None) -> Dataset:
        """Clone the remote, or a Git repository, to a folder of the team."""
        return Dataset.clone(str(source or self.remote), self.folder / name)

    def copy_ada(self, name: str) -> Path:
        """Copy Ada's dataset, which is cheaper than a clone."""
        return Path(shutil.copytree(self.ada, self.folder / name, symlinks=True))


long_form = pytest.mark.skipif(not LONG, reason="HYPOTHESIS_PROFILE=long runs it: others here test the same code")
"""Marks a test that only the long form runs."""


def select_cases(cases: Sequence[Case], count: int) -> Sequence[Case]:
    """Select the first cases; all of them in the long form."""
    return cases if LONG else cases[:count]


def run_git(folder: Path, *arguments: str) -> str:
    """Run Git in a folder and return what it prints."""
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def commit_all(folder: Path, message: str) -> str:
    """Commit everything that Git does not ignore, and return the digest of the commit."""
    run_git(folder, "add", "--all")
    run_git(folder, "commit", "--quiet", "--message", message)
    return run_git(folder, "rev-parse", "HEAD").strip()


def create_team(folder: Path) -> Team:
    """Create the dataset with rasters, features, chips and the tag v1, commit it, push it, and add a class."""
    team = Team(folder)
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    team.remote.mkdir()
    team.ada.mkdir()
    run_git(team.ada, "init", "--quiet", "--initial-branch=main")
    dataset = Dataset.init(team.ada, classes=["pond", "quarry"])
    dataset.add_rasters(write_scenes(inputs, "a", "b"))
    features = write_features(
        inputs / "features.geojson",
        {"p1": ("pond", point_geometry(10.5, 10.5)), "q1": ("quarry", point_geometry(60.5, 20.5))},
    )
    dataset.add_features(features, crs="EPSG:32633")
    dataset.cut_around_features("around", size=16)
    dataset.tag("v1")
    (team.ada / ".dvc/config").write_text(REMOTE_SETTINGS)
    commit_all(team.ada, "v1")
    dataset.push()
    return team


def copy_team(team: Team, folder: Path) -> Team:
    """Copy a team to another folder."""
    return Team(Path(shutil.copytree(team.folder, folder, symlinks=True)))
