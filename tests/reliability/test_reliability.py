"""The short form of `python -m tests.reliability`: a small sample of each attack, always the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.reliability.__main__ import ATTACKS
from tests.reliability.example import create_example
from tests.reliability.processes import start_fork_server
from tests.reliability.stage import Stage, format_faults, format_table, run_attack

STEPS = ("init", "classes", "features", "rasters", "cut", "label", "split", "tag", "replace", "remove feature")
"""The mutations that make the dataset of the short form."""
TRIES = {"kills": 2, "interrupts": 2, "appends": 4, "flips": 1, "edits": 1, "inputs": 2, "crafted": 1, "secrets": 2}
"""How many tries each attack makes: together with the dataset, about 35 CPU seconds."""


def test_attacks_find_no_faults(tmp_path: Path) -> None:
    start_fork_server()
    stage = Stage(create_example(tmp_path / "example", STEPS), tmp_path)
    results = [run_attack(ATTACKS[name], replace(stage, max_tries=count)) for name, count in TRIES.items()]
    assert [result.attack for result in results] == [*ATTACKS]
    assert not any(result.has_faults for result in results), f"\n{format_table(results)}\n{format_faults(results, 1)}"
