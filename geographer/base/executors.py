"""Runs batches of work on one core or on many: the only place where work leaves the process.

An executor is anything with `Executor`'s one method, so that a cluster's can stand in for these two.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

from geographer.base.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.context import BaseContext
    from types import FrameType

Batch = TypeVar("Batch")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs a function over batches of work."""

    def run(self, function: Callable[[Batch], Iterable[Result]], batches: Iterable[Batch]) -> Iterator[Result]:
        """Every result of `function(batch)`, in the order of the batches and, within one, of its results.

        Batches are taken one by one, as there is room, so their iterable may be long or lazy. On the first
        error (also Ctrl-C, and an iterator that is closed early) nothing more is started, and the error goes
        on.
        """
        ...


class Inline:
    """Runs in this process; each result is handed over before the next is made."""

    def run(self, function: Callable[[Batch], Iterable[Result]], batches: Iterable[Batch]) -> Iterator[Result]:
        """See `Executor.run`."""
        for batch in batches:
            yield from function(batch)


class Processes:
    """Runs in `workers` new processes; the results of a batch are handed over when the whole batch is done.

    The processes are never forks of this one, which may hold threads (DuckDB's) and locks. So `function` must
    be importable by name, batches and results must be picklable, and a script that uses this needs the usual
    `if __name__ == "__main__":`.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def run(self, function: Callable[[Batch], Iterable[Result]], batches: Iterable[Batch]) -> Iterator[Result]:
        """See `Executor.run`; a worker that dies (killed, out of memory) is a `StorageError`."""
        before = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(self._workers, _context(function), _start_worker)
        try:
            for future in _submitted(pool, function, batches, ahead=2 * self._workers):
                yield from future.result()
        except BrokenProcessPool as error:
            message = "a worker process ended before its work was done (out of memory?)"
            raise StorageError(f"{message}: try again with fewer workers") from error
        except BaseException:
            for worker in set(multiprocessing.active_children()) - before:
                worker.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def make_executor(workers: int) -> Executor:
    """`Inline` for one worker, else `Processes`.

    Raises:
        UsageError: `workers` is less than 1.
    """
    if workers < 1:
        raise UsageError(f"can't work with {workers} workers: pass 1 or more")
    return Inline() if workers == 1 else Processes(workers)


def _submitted(
    pool: ProcessPoolExecutor,
    function: Callable[[Batch], Iterable[Result]],
    batches: Iterable[Batch],
    ahead: int,
) -> Iterator[Future[list[Result]]]:
    """The batches' futures in order; at most `ahead` of them are under way or waiting."""
    remaining = iter(batches)
    futures = deque(pool.submit(_results, function, batch) for batch in islice(remaining, ahead))
    while futures:
        yield futures.popleft()
        futures.extend(pool.submit(_results, function, batch) for batch in islice(remaining, 1))


def _context(function: Callable[..., object]) -> BaseContext:
    """How workers start: from a server that has imported the function's module once, where there is one."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([getattr(function, "func", function).__module__])
    return context


_stopping = False
_working = False


def _start_worker() -> None:
    """Leaves Ctrl-C to the parent, which stops its workers by SIGTERM: that unwinds and cleans files up.

    A worker whose parent was killed would wait for work for ever, so a thread waits for the parent's end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """Unwinds the work; between two pieces of it only a note is taken, for a lock of the pool's may be held there."""
    global _stopping
    _stopping = True
    if _working:
        raise SystemExit


def _results(function: Callable[[Batch], Iterable[Result]], batch: Batch) -> list[Result]:
    global _working
    if _stopping:
        raise SystemExit
    _working = True
    try:
        return list(function(batch))
    finally:
        _working = False
