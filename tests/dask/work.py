"""Functions that tests run on workers; each run of a batch leaves a line in a file, so that tests can count them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from geographer.base.errors import CorruptError
from geographer.base.executors.task_files import InputFile, locate_file


class Batch(NamedTuple):
    """Copy `source` with a number to `target`; `runs` is a file for the lines, in a place that is not the client's."""

    number: int
    source: str
    target: str
    runs: str
    signal_file: str = ""
    size: int = 0


def make_batches(folder: Path, count: int, signal_file: str = "", size: int = 0) -> list[Batch]:
    source = folder / "source.txt"
    source.write_text("water ")
    (folder / "out").mkdir(exist_ok=True)
    targets = [folder / "out" / f"{number}.txt" for number in range(count)]
    return [
        Batch(number, str(source), str(target), str(folder / "runs.log"), signal_file, size)
        for number, target in enumerate(targets)
    ]


def list_inputs(batch: Batch) -> list[InputFile]:
    return [InputFile(batch.source)]


def list_outputs(batch: Batch) -> list[str]:
    return [batch.target]


def copy_text(batch: Batch) -> Iterator[tuple[int, str]]:
    with Path(batch.runs).open("a") as file:
        file.write(f"{batch.number} {os.getpid()}\n")
    text = locate_file(batch.source).read_text() + f"{batch.number}" + "x" * batch.size
    locate_file(batch.target).write_text(text)
    yield batch.number, batch.target


def return_location(batch: Batch) -> list[str]:
    return [str(locate_file(batch.source))]


def kill_worker_once(batch: Batch) -> Iterator[tuple[int, str]]:
    """Kill the worker that runs the third batch, the first time."""
    flag = Path(batch.signal_file)
    if batch.number == 3 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    yield from copy_text(batch)


def kill_process_at_six(batch: Batch) -> Iterator[tuple[int, str]]:
    """Kill the process whose id the signal file has, in the sixth batch, if it is still there."""
    if batch.number == 6 and Path(batch.signal_file).exists():
        process = int(Path(batch.signal_file).read_text())
        Path(batch.signal_file).unlink()
        os.kill(process, signal.SIGKILL)
        time.sleep(30)
    yield from copy_text(batch)


def fail_at_three(batch: Batch) -> Iterator[tuple[int, str]]:
    if batch.number == 3:
        raise CorruptError(f"raster '{locate_file(batch.source)}' is damaged")
    yield from copy_text(batch)


def kill_always(_batch: Batch) -> list[int]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []
