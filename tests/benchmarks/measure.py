"""Measure CPU and wall seconds and peak memory, here or in a new process, and format the results as a table."""

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

REPOSITORY = Path(__file__).parents[2]


class Row(NamedTuple):
    """A row of the table; `is_met` is None if there is no target."""

    subject: str
    ours: str
    other: str = ""
    ratio: str = ""
    target: str = ""
    is_met: bool | None = None


@dataclass
class Cost:
    """The cost of a block or a process: CPU seconds of all threads and child processes, wall seconds, peak MB."""

    cpu: float = 0.0
    wall: float = 0.0
    peak: float = 0.0


def compare_values(
    subject: str,
    ours: float,
    other: float,
    *,
    unit: str,
    other_name: str,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Row:
    """Make a row whose ratio is our value divided by the other one; a target limits the ratio."""
    ratio = ours / other
    target, is_met = "", None
    if at_most is not None:
        target, is_met = f"≤ {at_most:g}", ratio <= at_most
    if at_least is not None:
        target, is_met = f"≥ {at_least:g}", ratio >= at_least
    ours_text, other_text = f"{_format_number(ours)} {unit}", f"{_format_number(other)} {unit} ({other_name})"
    return Row(subject, ours_text, other_text, f"{ratio:.3f}", target, is_met)


def check_limit(subject: str, value: float, limit: float, *, unit: str) -> Row:
    """Make a row whose value must be below an absolute limit, such as one of memory."""
    target = f"< {_format_number(limit)} {unit}"
    return Row(subject, f"{_format_number(value)} {unit}", "", "", target, value < limit)


@contextmanager
def measure_cost() -> Iterator[Cost]:
    """Yield the cost of the block, filled in when it ends; `peak` is that of the process so far."""
    cost, children_cpu = Cost(), _read_children_cpu()
    cpu, wall = time.process_time(), time.perf_counter()
    yield cost
    cost.cpu, cost.wall = time.process_time() - cpu, time.perf_counter() - wall
    cost.cpu += _read_children_cpu() - children_cpu
    cost.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _read_children_cpu() -> float:
    """Return the CPU seconds of this process's children: ended ones, and running ones such as a fork server."""
    import psutil

    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return ended.ru_utime + ended.ru_stime + sum(sum(times[:4]) for times in running)


def run_in_process(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call `function` in a new process, so that it shares neither memory nor imports with other benchmarks."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _disable_progress_bars) as process:
        return process.submit(function, *arguments).result()


def _disable_progress_bars() -> None:
    """Give the main module a file: DuckDB draws progress bars in processes whose main module has none."""
    sys.modules["__main__"].__file__ = __file__


def run_python(*arguments: str | Path, quiet: bool = True) -> Cost:
    """Run a new Python process with these arguments; raise RuntimeError unless it exits with 0."""
    cost, start = Cost(), time.perf_counter()
    output = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)], cwd=REPOSITORY, stdout=output, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, arguments))} exited with {process.returncode}: {errors}")
    cost.cpu, cost.peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3
    cost.wall = time.perf_counter() - start
    return cost


def run_geographer(folder: Path, *arguments: str | Path) -> Cost:
    """Run a `geographer` command on the dataset in `folder`."""
    return run_python("-m", "geographer", "-C", folder, *arguments)


def report_progress(step: str) -> None:
    print(f"… {step}", file=sys.stderr, flush=True)


def format_table(rows: Sequence[Row]) -> str:
    """Format the rows as text in columns, with a dash in empty cells."""
    lines: list[tuple[str, ...]] = [("benchmark", "ours", "other", "ratio", "target", "")]
    lines += [(*(cell or "-" for cell in row[:5]), _format_verdict(row.is_met)) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _format_verdict(is_met: bool | None) -> str:
    return "" if is_met is None else "met" if is_met else "MISSED"


def _format_number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
