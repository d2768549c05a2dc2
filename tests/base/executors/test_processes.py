"""Executors: order, laziness, and the state after a failure."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import count, islice
from pathlib import Path

import psutil
import pytest

from geographer.base.errors import CorruptError, StorageError, UsageError
from geographer.base.executors.executor import make_executor
from geographer.base.executors.inline import InlineExecutor
from geographer.base.executors.isolated_script import IsolatedScript
from geographer.base.executors.processes import ProcessExecutor


def yield_twice(batch: list[int]) -> Iterator[int]:
    for number in batch:
        yield from (number, number)


def delay_first_batch(batch: int) -> list[int]:
    time.sleep(0.3 if batch == 0 else 0)
    return [batch]


def return_process_id(_batch: int) -> list[int]:
    return [os.getpid()]


def fail_at_two(batch: tuple[Path, int]) -> list[int]:
    folder, number = batch
    (folder / str(number)).touch()
    if number == 2:
        raise CorruptError("raster 'x' is damaged")
    return [number]


def kill_worker(_batch: int) -> list[int]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def sleep_with_marker(folder: Path) -> list[int]:
    marker = folder / f"{os.getpid()}"
    marker.touch()
    try:
        time.sleep(60)
    finally:
        marker.unlink()
    return []


def test_inline_executor_yields_before_next_result():
    taken = []

    def batches() -> Iterator[list[int]]:
        for number in range(3):
            taken.append(number)
            yield [number]

    results = InlineExecutor().run(yield_twice, batches())
    assert next(results) == 0
    assert taken == [0]
    assert list(results) == [0, 1, 1, 2, 2]


def test_process_executor_keeps_batch_order():
    assert list(ProcessExecutor(2).run(yield_twice, [[3, 1], [], [2]])) == [3, 3, 1, 1, 2, 2]
    assert list(ProcessExecutor(2).run(delay_first_batch, range(5))) == [0, 1, 2, 3, 4]


def test_process_executor_uses_given_number_of_processes():
    ids = set(ProcessExecutor(2).run(return_process_id, range(8)))
    assert os.getpid() not in ids
    assert 1 <= len(ids) <= 2


def test_process_executor_takes_batches_lazily():
    taken = count()
    results = ProcessExecutor(2).run(delay_first_batch, iter(lambda: next(taken), None))
    assert list(islice(results, 3)) == [0, 1, 2]
    assert isinstance(results, Generator)
    results.close()
    assert next(taken) < 10


def test_worker_error_stops_the_rest(tmp_path: Path):
    results = ProcessExecutor(2).run(fail_at_two, [(tmp_path, number) for number in range(50)])
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(CorruptError, match="raster 'x' is damaged"):
        next(results)
    assert len(list(tmp_path.iterdir())) < 15


def test_killed_worker_raises_storage_error():
    with pytest.raises(StorageError, match="fewer workers"):
        list(ProcessExecutor(2).run(kill_worker, range(3)))


def test_script_without_guard_runs_once(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(
        "from geographer.base.executors.processes import ProcessExecutor\n"
        f"from {__name__} import yield_twice\n"
        "print(list(ProcessExecutor(2).run(yield_twice, [[1], [2]])))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)
    assert (finished.stdout, finished.stderr) == ("[1, 1, 2, 2]\n", "")


def list_executor_kinds(_batch: int) -> list[str | bool]:
    return [type(make_executor(2)).__name__, multiprocessing.current_process().daemon]


def test_worker_of_multiprocessing_starts_no_processes():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(list_executor_kinds, [0]) == [["InlineExecutor", True]]


def test_make_executor_by_number_of_workers():
    assert isinstance(make_executor(1), InlineExecutor)
    assert isinstance(make_executor(2), ProcessExecutor)
    with pytest.raises(UsageError, match="1 or more"):
        make_executor(0)


def test_ctrl_c_unwinds_workers(tmp_path: Path):
    with run_sleeping_workers(tmp_path) as (parent, workers):
        os.killpg(parent.pid, signal.SIGINT)
        _, errors = parent.communicate(timeout=10)
        assert parent.returncode != 0
        assert errors.count("Traceback") == errors.count("\nKeyboardInterrupt") == 1
        assert not any(psutil.pid_exists(worker) for worker in workers)
        assert list(tmp_path.iterdir()) == []


def test_interrupted_parent_does_not_wait(tmp_path: Path):
    with run_sleeping_workers(tmp_path) as (parent, workers):
        parent.send_signal(signal.SIGINT)
        parent.communicate(timeout=10)
        assert not any(psutil.pid_exists(worker) for worker in workers)
        assert list(tmp_path.iterdir()) == []


def test_workers_end_when_their_parent_is_killed(tmp_path: Path):
    with run_sleeping_workers(tmp_path) as (parent, workers):
        parent.kill()
        parent.wait()
        remaining = [psutil.Process(worker) for worker in workers if psutil.pid_exists(worker)]
        assert psutil.wait_procs(remaining, timeout=10)[1] == []


@contextmanager
def run_sleeping_workers(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A Python process, in a group of its own, whose two workers are running `sleep_with_marker`; and their ids."""
    script = folder.with_name(folder.name + ".py")
    script.write_text(
        "import signal, sys; from pathlib import Path; from geographer.base.executors.processes import ProcessExecutor\n"
        f"from {__name__} import sleep_with_marker\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it\n"
        "    list(ProcessExecutor(2).run(sleep_with_marker, [Path(sys.argv[1])] * 9))\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        try:
            while len(markers := list(folder.iterdir())) < 2 and parent.poll() is None:
                time.sleep(0.02)
            yield parent, [int(marker.name) for marker in markers]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)


ECHO = """
import json, os, sys
for line in sys.stdin:
    task = json.loads(line)
    if task["exit"]:
        os._exit(task["exit"])
    print(json.dumps([os.getpid(), task]), flush=True)
"""


def test_isolated_script_survives_a_crash(tmp_path: Path):
    (tmp_path / "echo.py").write_text(ECHO)
    script = IsolatedScript(tmp_path / "echo.py")
    task = {"exit": 0, "text": "ü\udcff"}
    first, second = script.run_task(task), script.run_task(task)
    assert first == second == [first[0], task]
    with pytest.raises(ChildProcessError, match="exit code 3"):
        script.run_task({"exit": 3})
    assert script.run_task(task)[0] != first[0]
