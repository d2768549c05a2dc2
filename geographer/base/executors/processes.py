"""The executor of local processes, which end with this one, whatever ends it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from copy import copy
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from geographer.base.errors import StorageError
from geographer.base.executors.executor import Batch, Result
from geographer.base.executors.task_files import InputFile, list_no_files


class ProcessExecutor:
    """Run in `workers` new processes; the results of a batch are yielded when the whole batch is done.

    The processes are never forks of this one, which may hold DuckDB's threads and locks. So `function` must be
    importable by name, and batches and results must be picklable. They do not import the user's script again, which
    need not have `if __name__ == "__main__":` for it, unless the function or its arguments are defined there.
    """

    def __init__(self, workers: int) -> None:
        self.slots = workers

    def run(
        self,
        function: Callable[[Batch], Iterable[Result]],
        batches: Iterable[Batch],
        *,
        inputs: Callable[[Batch], Iterable[InputFile]] = list_no_files,
        outputs: Callable[[Batch], Iterable[str | Path]] = list_no_files,
        result_type: object = None,
    ) -> Iterator[Result]:
        """See `Executor.run`; a worker process that dies (killed, out of memory) raises `StorageError`."""
        before = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(self.slots, _make_context(function), _start_worker)
        try:
            futures = (pool.submit(_run_batch, function, batch) for batch in batches)
            queued = deque(islice(futures, 2 * self.slots))
            while queued:
                yield from queued.popleft().result()
                queued.extend(islice(futures, 1))
        except BrokenProcessPool as error:
            reason = "a worker process ended before its work was done (out of memory?)"
            raise StorageError(f"{reason}. Run again with fewer workers.") from error
        except BaseException:
            for worker in set(multiprocessing.active_children()) - before:
                worker.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


_context: Any = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)


class _ScriptlessProcess(_context.Process):  # type: ignore[misc]
    """A process that does not import the script that runs in this one."""

    @staticmethod
    def _Popen(process: Any) -> Any:  # noqa: N802
        with _hide_script():
            return _context.Process._Popen(process)


def _make_context(function: Callable[..., object]) -> Any:
    """Start workers from a fork server that has imported the function's module, else by spawning."""
    context = copy(_context)
    context.set_forkserver_preload([getattr(function, "func", function).__module__])
    if b"__main__" not in pickle.dumps(function):
        context.Process = _ScriptlessProcess
    return context


@contextmanager
def _hide_script() -> Iterator[None]:
    """Let multiprocessing find no script of which it would tell a new process to import it."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


_stopping = False
_working = False


def _start_worker() -> None:
    """Ignore Ctrl-C: the parent terminates its workers by SIGTERM, which unwinds the stack and removes files."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _handle_sigterm)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """End this worker when its parent ends: a killed parent cannot terminate it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _handle_sigterm(*_arguments: object) -> None:
    """Raise SystemExit while a batch runs; otherwise set a flag, because the pool's queue lock may be held."""
    global _stopping
    _stopping = True
    if _working:
        raise SystemExit


def _run_batch(function: Callable[[Batch], Iterable[Result]], batch: Batch) -> list[Result]:
    global _working
    if _stopping:
        raise SystemExit
    _working = True
    try:
        return list(function(batch))
    finally:
        _working = False
