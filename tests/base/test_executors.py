"""The executors: order, laziness, and what is left when something goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count, islice
from pathlib import Path

import psutil
import pytest

from geographer.base.errors import CorruptError, StorageError, UsageError
from geographer.base.executors import Inline, Processes, make_executor


def twice(batch: list[int]) -> Iterator[int]:
    for number in batch:
        yield from (number, number)


def slow_when_first(batch: int) -> list[int]:
    time.sleep(0.3 if batch == 0 else 0)
    return [batch]


def process_id(_batch: int) -> list[int]:
    return [os.getpid()]


def fails_at_two(batch: tuple[Path, int]) -> list[int]:
    folder, number = batch
    (folder / str(number)).touch()
    if number == 2:
        raise CorruptError("raster 'x' is damaged")
    return [number]


def dies(_batch: int) -> list[int]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def sleeps(folder: Path) -> list[int]:
    mark = folder / f"{os.getpid()}"
    mark.touch()
    try:
        time.sleep(60)
    finally:
        mark.unlink()
    return []


def test_inline_hands_over_each_result_before_it_makes_the_next():
    taken = []

    def batches() -> Iterator[list[int]]:
        for number in range(3):
            taken.append(number)
            yield [number]

    results = Inline().run(twice, batches())
    assert next(results) == 0
    assert taken == [0]
    assert list(results) == [0, 1, 1, 2, 2]


def test_processes_give_the_results_in_the_order_of_the_batches():
    assert list(Processes(2).run(twice, [[3, 1], [], [2]])) == [3, 3, 1, 1, 2, 2]
    assert list(Processes(2).run(slow_when_first, range(5))) == [0, 1, 2, 3, 4]


def test_the_work_is_done_in_other_processes_and_no_more_than_asked_for():
    ids = set(Processes(2).run(process_id, range(8)))
    assert os.getpid() not in ids
    assert 1 <= len(ids) <= 2


def test_processes_take_batches_as_there_is_room():
    taken = count()
    results = Processes(2).run(slow_when_first, iter(lambda: next(taken), None))
    assert list(islice(results, 3)) == [0, 1, 2]
    results.close()
    assert next(taken) < 10


def test_an_error_in_a_worker_goes_on_as_it_is_and_stops_the_rest(tmp_path: Path):
    results = Processes(2).run(fails_at_two, [(tmp_path, number) for number in range(50)])
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(CorruptError, match="raster 'x' is damaged"):
        next(results)
    assert len(list(tmp_path.iterdir())) < 15


def test_a_worker_that_is_killed_is_a_storage_error_with_a_next_step():
    with pytest.raises(StorageError, match="fewer workers"):
        list(Processes(2).run(dies, range(3)))


def test_one_worker_is_inline_and_none_is_an_error():
    assert isinstance(make_executor(1), Inline)
    assert isinstance(make_executor(2), Processes)
    with pytest.raises(UsageError, match="1 or more"):
        make_executor(0)


def test_ctrl_c_unwinds_the_workers_and_says_so_once(tmp_path: Path):
    with working(tmp_path) as (parent, workers):
        os.killpg(parent.pid, signal.SIGINT)
        _, errors = parent.communicate(timeout=10)
        assert parent.returncode != 0
        assert errors.count("Traceback") == errors.count("\nKeyboardInterrupt") == 1
        assert not any(psutil.pid_exists(worker) for worker in workers)
        assert list(tmp_path.iterdir()) == []


def test_an_interrupt_of_the_parent_alone_does_not_wait_for_the_work(tmp_path: Path):
    with working(tmp_path) as (parent, workers):
        parent.send_signal(signal.SIGINT)
        parent.communicate(timeout=10)
        assert not any(psutil.pid_exists(worker) for worker in workers)
        assert list(tmp_path.iterdir()) == []


def test_workers_end_when_their_parent_is_killed(tmp_path: Path):
    with working(tmp_path) as (parent, workers):
        parent.kill()
        parent.wait()
        left = [psutil.Process(worker) for worker in workers if psutil.pid_exists(worker)]
        assert psutil.wait_procs(left, timeout=10)[1] == []


@contextmanager
def working(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A Python process, in a group of its own, whose two workers are in the middle of `sleeps`; and their ids."""
    script = folder.with_name(folder.name + ".py")
    script.write_text(
        "import signal, sys; from pathlib import Path; from geographer.base.executors import Processes\n"
        f"from {__name__} import sleeps\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it\n"
        "    list(Processes(2).run(sleeps, [Path(sys.argv[1])] * 9))\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        try:
            while len(marks := list(folder.iterdir())) < 2 and parent.poll() is None:
                time.sleep(0.02)
            yield parent, [int(mark.name) for mark in marks]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)
