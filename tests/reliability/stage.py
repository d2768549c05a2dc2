"""The tries of an attack, what they find, and the table that shows it."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal, NamedTuple

from tests.reliability.example import Example
from tests.reliability.oracles import hash_tree
from tests.reliability.processes import Finished

Kind = Literal["lost", "silent", "traceback", "crash", "outside"]
KINDS: Final[dict[Kind, str]] = {
    "lost": "an acknowledged event or file is gone, or the repeated command does not complete the change",
    "silent": "a wrong answer, file or recorded secret, and neither an error nor verify says so",
    "traceback": "an exit code other than 0 and 2 to 6, or a Python traceback",
    "crash": "a process died of a signal, or hung",
    "outside": "a file outside the dataset was written, deleted or read",
}


class Fault(NamedTuple):
    """One fault: its kind, and what was seen."""

    kind: Kind
    text: str


TryFaults = tuple[int, list[Fault]]
"""The number of a try and its faults."""


class Try(NamedTuple):
    """One try of an attack: its random numbers, and an empty folder."""

    random: random.Random
    folder: Path

    def copy_dataset(self, source: Path) -> Path:
        """Copy a dataset into a folder with other files around it, which must not change."""
        (self.folder / "around" / "rasters").mkdir(parents=True)
        for path in ("precious.tif", "rasters/precious.tif", "precious.dvc"):
            (self.folder / "around" / path).write_text("precious")
        return shutil.copytree(source, self.folder / "around" / "dataset", symlinks=True)

    def find_changes_outside(self, root: Path) -> Iterator[Fault]:
        """Yield a fault if files around the dataset were changed, added or deleted."""
        found = hash_tree(root.parent, root)
        content = found.pop("precious.tif", None)
        if found != {"./": "", "rasters/": "", "rasters/precious.tif": content, "precious.dvc": content}:
            yield Fault("outside", f"files around the dataset changed: {sorted(found)}")


@dataclass(frozen=True, eq=False)
class Stage:
    """Where an attack takes place, and which of its tries are made: `scale` times all, or `only` the one of this number."""

    example: Example
    folder: Path
    scale: float = 1.0
    seed: int = 1
    only: int | None = None
    jobs: int = 1
    max_tries: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _computed: dict[str, Any] = field(default_factory=dict)

    def compute_once(self, name: str, function: Callable[[Try], Any]) -> Any:
        """Return what the function returns for a try of this name; it is called once."""
        with self._lock:
            if name not in self._computed:
                self._computed[name] = function(self.make_try(name))
            return self._computed[name]

    def count_tries(self, tries: int) -> int:
        """Return how many of the tries of the long form are made."""
        return max(round(tries * self.scale), 1) if self.max_tries is None else min(self.max_tries, tries)

    def make_try(self, name: str) -> Try:
        """Return a try with a new folder; the same name gives the same random numbers."""
        (self.folder / name).mkdir(parents=True)
        return Try(random.Random(f"{self.seed} {name}"), self.folder / name)

    def run_cases(self, attack: ModuleType, cases: list[Any]) -> Iterator[TryFaults]:
        """Call `attack.attack_case` for the cases, in an order that depends on the seed, `jobs` at a time."""
        name = attack.__name__.rpartition(".")[2]
        order = random.Random(f"{self.seed} {name}").sample(range(len(cases)), len(cases))

        def attack_case(number: int) -> TryFaults:
            one = self.make_try(f"{name}-{number}")
            case = cases[order[number]]
            faults = [fault._replace(text=f"{case}: {fault.text}") for fault in attack.attack_case(self, one, case)]
            if self.only is None:
                shutil.rmtree(one.folder)
            return number, faults

        numbers = range(self.count_tries(len(cases))) if self.only is None else [self.only]
        with ThreadPoolExecutor(self.jobs) as pool:
            yield from pool.map(attack_case, numbers)


class Result(NamedTuple):
    """What the tries of an attack found."""

    attack: str
    tries: list[TryFaults]
    seconds: float

    @property
    def has_faults(self) -> bool:
        """Whether any try found a fault."""
        return any(faults for _, faults in self.tries)


def run_attack(attack: ModuleType, stage: Stage, report: Callable[[str], None] = lambda _: None) -> Result:
    """Run an attack: a module with `run_attack`, or with `list_cases` and `attack_case`; report faults as they come."""
    start = time.perf_counter()
    has_own = hasattr(attack, "run_attack")
    tries = attack.run_attack(stage) if has_own else stage.run_cases(attack, attack.list_cases(stage))
    result = Result(attack.__name__.rpartition(".")[2], [], 0.0)
    for one in tries:
        result.tries.append(one)
        if one[1]:
            report(format_faults([result._replace(tries=[one])], stage.seed))
    return result._replace(seconds=time.perf_counter() - start)


def find_failures(finished: Iterable[Finished]) -> Iterator[Fault]:
    """Yield a fault for each command that crashed or ended with a traceback."""
    for done in finished:
        if done.is_crash or done.is_traceback:
            yield Fault("crash" if done.is_crash else "traceback", str(done))


def format_table(results: list[Result]) -> str:
    """Format the table: a line for each attack, with the number of tries that ended in each kind of fault."""
    lines = [f"{'attack':<10}{'tries':>7}{''.join(f'{kind:>11}' for kind in KINDS)}{'seconds':>10}"]
    for attack, tries, seconds in results:
        counts = Counter(kind for _, faults in tries for kind in {fault.kind for fault in faults})
        numbers = "".join(f"{counts[kind]:>11,}" for kind in KINDS)
        lines.append(f"{attack:<10}{len(tries):>7,}{numbers}{seconds:>10,.0f}")
    return "\n".join(lines)


def format_faults(results: list[Result], seed: int, limit: int = 3) -> str:
    """Format the faults, at most `limit` of each try, with the command that repeats a try."""
    lines = []
    for attack, tries, _ in results:
        for number, faults in tries:
            repeat = f"python -m tests.reliability --only {attack} --seed {seed} --try {number}"
            lines += [f"{repeat}\n  {kind}: {text}" for kind, text in faults[:limit]]
    return "\n".join(lines)
