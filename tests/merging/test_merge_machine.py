"""The short form of `python -m tests.merging`: a fixed history, a random one, and planted faults of the merge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.merging.machine import create_template
from tests.merging.mutants import MUTANTS, Mutant, plant_mutant
from tests.merging.runs import run_named_script, run_seed
from tests.merging.scripts import SCRIPTS
from tests.sample_team import long_form
from tests.shared_folders import create_once

SEED, STEPS = 11, 4
"""The random history: together with the fixed one and a mutant about 13 CPU seconds."""


@pytest.fixture
def folder(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder beside the template from which histories start."""
    (tmp_path / "template").symlink_to(create_once(tmp_path_factory, "merging", create_template))
    return tmp_path


def test_random_history_equals_model(folder: Path) -> None:
    assert run_seed(folder, SEED, STEPS, mirrored=0.0, killed=0.0, clones=2).failure == ""


@long_form
@pytest.mark.parametrize("name", SCRIPTS)
def test_script_equals_model(folder: Path, name: str) -> None:
    assert run_named_script(folder, name).failure == ""


@pytest.mark.parametrize(
    "mutant",
    [MUTANTS[0], *(pytest.param(mutant, marks=long_form) for mutant in MUTANTS[1:])],
    ids=lambda item: item.name,
)
def test_mutant_is_found(folder: Path, mutant: Mutant) -> None:
    with plant_mutant(mutant):
        assert run_named_script(folder, mutant.script).is_mismatch
