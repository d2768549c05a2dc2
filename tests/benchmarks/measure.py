"""What is measured (CPU and wall seconds, peak memory), where (here, or in a process of its own), and the table."""

from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")

ROOT = Path(__file__).parents[2]


class Row(NamedTuple):
    """A line of the table; `met` is None where there is no target."""

    what: str
    ours: str
    other: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None


@dataclass
class Cost:
    """What a block or a process spent: CPU of all its threads and child processes, in seconds; peak memory in MB."""

    cpu: float = 0.0
    wall: float = 0.0
    peak: float = 0.0


def compared(
    what: str,
    ours: float,
    other: float,
    *,
    unit: str,
    than: str,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Row:
    """A row whose ratio is ours to the other's."""
    ratio = ours / other
    target, met = "", None
    if at_most is not None:
        target, met = f"≤ {at_most:g}", ratio <= at_most
    if at_least is not None:
        target, met = f"≥ {at_least:g}", ratio >= at_least
    return Row(what, f"{_short(ours)} {unit}", f"{_short(other)} {unit} ({than})", f"{ratio:.3f}", target, met)


def below(what: str, value: float, limit: float, *, unit: str) -> Row:
    """A row about a limit of its own, such as memory."""
    return Row(what, f"{_short(value)} {unit}", "", "", f"< {_short(limit)} {unit}", value < limit)


@contextmanager
def spent() -> Iterator[Cost]:
    """What the block spends, known when it ends; `peak` is the process's so far."""
    cost, before = Cost(), _children_cpu()
    cpu, wall = time.process_time(), time.perf_counter()
    yield cost
    cost.cpu, cost.wall = time.process_time() - cpu, time.perf_counter() - wall
    cost.cpu += _children_cpu() - before
    cost.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _children_cpu() -> float:
    """CPU seconds of this process's children, ended or (a fork server and its workers) alive."""
    import psutil

    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return ended.ru_utime + ended.ru_stime + sum(sum(times[:4]) for times in alive)


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """What `function` answers in a new process, so that memory and imports are its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _no_terminal) as process:
        return process.submit(function, *arguments).result()


def _no_terminal() -> None:
    """DuckDB takes a process whose main module has no file for a person at a terminal, and draws progress bars."""
    sys.modules["__main__"].__file__ = __file__


def command(*arguments: str | Path, quiet: bool = True) -> Cost:
    """What a new Python process with these arguments spends; peak memory included. It must end with 0."""
    cost, began = Cost(), time.perf_counter()
    output = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)], cwd=ROOT, stdout=output, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, arguments))} ended with {process.returncode}: {errors}")
    cost.cpu, cost.peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3
    cost.wall = time.perf_counter() - began
    return cost


def geographer(folder: Path, *arguments: str | Path) -> Cost:
    """What a `geographer` command on the dataset in `folder` spends."""
    return command("-m", "geographer", "-C", folder, *arguments)


def told(what: str) -> None:
    """Progress, for the person who waits."""
    print(f"… {what}", file=sys.stderr, flush=True)


def table(rows: Sequence[Row]) -> str:
    """The rows as text in columns; a dash where something does not apply."""
    lines = [("what", "ours", "other", "ratio", "target", "")]
    lines += [(*(cell or "-" for cell in row[:5]), _verdict(row.met)) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _verdict(met: bool | None) -> str:
    return "" if met is None else "met" if met else "MISSED"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
