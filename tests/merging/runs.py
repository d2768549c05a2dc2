"""One random history of a seed, and what it did."""

from __future__ import annotations

import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.merging.convergence import run_history, run_script
from tests.merging.machine import Machine
from tests.merging.mutants import MUTANTS, plant_mutant
from tests.merging.scripts import MIRRORED, SCRIPTS
from tests.merging.steps import MismatchError
from tests.reliability.processes import start_fork_server


class Outcome(NamedTuple):
    """What a run did: how often each command ran, and the steps and the error if it failed.

    `is_mismatch` says that a comparison failed, and not a command with a traceback.
    """

    seed: int
    counts: Counter[str]
    seconds: float
    failure: str = ""
    is_mismatch: bool = False


def run_task(folder: Path, seed: int, count: int) -> Outcome:
    """Run one history in a process of a pool."""
    start_fork_server()
    return run_seed(folder, seed, count)


def run_seed(folder: Path, seed: int, count: int, **options: Any) -> Outcome:
    """Run the random history of a seed in a folder beside the template; `options` are those of the machine."""
    machine = Machine(folder / f"run-{seed}", seed, **options)
    return _run(machine, seed, lambda: run_history(machine, count, folder / "template"))


def run_named_script(folder: Path, name: str) -> Outcome:
    """Run a fixed history; merges are made from either side where the model does not know what `update` makes."""
    machine = Machine(folder / f"run-{name}", 0, mirrored=float(name in MIRRORED), killed=0.0, clones=2)
    return _run(machine, 0, lambda: run_script(machine, SCRIPTS[name], folder / "template"))


class MutantSearch(NamedTuple):
    """What found a mutant: its script, and the number of random histories until one did (0: none did)."""

    by_script: bool
    runs: int
    message: str

    def format_line(self, name: str) -> str:
        """Return a line for the table."""
        script = "found by its script" if self.by_script else "MISSED by its script"
        runs = f", by random history {self.runs}" if self.runs else ""
        return f"{name}: {script}{runs}: {self.message}"


def find_mutant(folder: Path, name: str, runs: int, steps: int) -> MutantSearch:
    """Plant a mutant, run its script, and random histories of the seeds from 1 until one fails."""
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    own = folder / name.replace(" ", "-")
    own.mkdir()
    (own / "template").symlink_to(folder / "template")
    with plant_mutant(mutant):
        outcome = run_named_script(own, mutant.script)
        histories = (seed for seed in range(1, runs + 1) if run_seed(own, seed, steps, killed=0.0).is_mismatch)
        return MutantSearch(outcome.is_mismatch, next(histories, 0), _shorten(outcome.failure))


def _shorten(failure: str) -> str:
    """Return the differences that a failure names, in one line."""
    return " ".join(failure.rpartition("(model, product):")[2].split())[:160]


def _run(machine: Machine, seed: int, run: Callable[[], None]) -> Outcome:
    start, failure, is_mismatch = time.process_time(), "", False
    try:
        run()
    except MismatchError as error:
        failure, is_mismatch = str(error), True
    except Exception:
        failure = traceback.format_exc()
    if failure:
        failure = "\n".join([*(f"  {number}. {step}" for number, step in enumerate(machine.steps, start=1)), failure])
    shutil.rmtree(machine.folder, ignore_errors=True)
    return Outcome(seed, Counter(machine.counts), time.process_time() - start, failure, is_mismatch)
