"""Whole histories: random or fixed steps; then all clones converge, and are compared with the model and each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geographer import Dataset
from tests.merging.content import check_content
from tests.merging.machine import Machine
from tests.merging.observe import read_dataset
from tests.merging.steps import Clone, Step, require_equal


def converge(machine: Machine) -> None:
    """Merge everything into main, on all clones, and publish it."""
    for name in machine.names:
        clone = machine.clones[name]
        settle(machine, clone)
        if clone.branch != "main":
            run(machine, clone, "switch", name="main")
            settle(machine, clone)
        for branch in sorted(clone.heads.keys() - {"main"}):
            merge(machine, clone, branch)
        exchange(machine, clone)
    last = machine.clones[machine.names[-1]]
    run(machine, last, "update")
    run(machine, last, "push")
    for name in machine.names[:-1]:
        run(machine, machine.clones[name], "pull")


def run(machine: Machine, clone: Clone, command: str, **arguments: Any) -> None:
    """Run one step."""
    machine.run_step(Step(clone.name, command, arguments))


def settle(machine: Machine, clone: Clone) -> None:
    """Decide all conflicts: those of splits by the smallest remedy, first or last."""
    while conflicts := machine.history[clone.head].conflicts:
        is_split = machine.random.random() < 0.5 or all(conflict.subject == "split" for conflict in conflicts)
        ids = machine.draws.list_conflict_ids(clone, is_split=is_split)
        take = "smallest" if is_split else machine.random.choice(("ours", "theirs"))
        if ids:
            run(machine, clone, "resolve", ids=ids, take=take)


def merge(machine: Machine, clone: Clone, revision: str) -> None:
    """Merge a revision and decide its conflicts."""
    run(machine, clone, "merge", revision=revision, on_conflict="list")
    settle(machine, clone)


def exchange(machine: Machine, clone: Clone) -> None:
    """Fetch, merge and push; features that were added may have made a split leak."""
    run(machine, clone, "fetch")
    merge(machine, clone, "origin/main")
    if machine.list_leaking_splits(machine.history[clone.head]):
        run(machine, clone, "update")
    run(machine, clone, "push")


def check_convergence(machine: Machine) -> None:
    """Require that all clones are equal, like the model, and right."""
    heads = {clone.head for clone in machine.clones.values()}
    require_equal("heads", 1, len(heads))
    commit = machine.history[heads.pop()]
    seen = {name: read_dataset(Dataset.open(Path(name))) for name in machine.clones}
    for name, observed in seen.items():
        require_equal(f"{name}: declared", commit.declared, observed.declared)
        require_equal(f"{name}: derived", commit.derived, observed.derived)
        require_equal(f"{name}: content digest", seen["A"].content_digest, observed.content_digest)
    for name in machine.clones:
        require_equal(f"{name}: findings", [], Dataset.open(Path(name)).verify())
    Path("B/.geographer/state.duckdb").unlink()
    require_equal("rebuilt", seen["B"], read_dataset(Dataset.open(Path("B"))))
    check_content(commit, Path(machine.names[-1]))


def run_history(machine: Machine, count: int, template: Path) -> None:
    """Run random steps, let all clones converge, and check them."""
    with machine.open_folder(template):
        for _ in range(count):
            machine.run_step(machine.draw_step())
        converge(machine)
        check_convergence(machine)


def run_script(machine: Machine, steps: Sequence[Step], template: Path) -> None:
    """Run fixed steps, decide all conflicts of the last clone, and check what it has after `update`."""
    with machine.open_folder(template):
        for step in steps:
            machine.run_step(step)
        clone = machine.clones[steps[-1].clone]
        settle(machine, clone)
        run(machine, clone, "update")
        check_content(machine.history[clone.head], Path(clone.name))
