"""Executors: run batches of work in this process or in several, or a script in one that may crash."""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import islice
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Protocol, TypeVar

from geographer.base.errors import StorageError, UsageError

Batch = TypeVar("Batch")
Result = TypeVar("Result")


class Executor(Protocol):
    """Run a function over batches of work; any object with this method, such as a cluster's executor, can do so."""

    def run(self, function: Callable[[Batch], Iterable[Result]], batches: Iterable[Batch]) -> Iterator[Result]:
        """Yield every result of `function(batch)`, in the order of the batches and of the results within a batch.

        Batches are taken from the iterable when a worker is free, so it may be long or lazy. After the first error
        (also Ctrl-C, or an iterator that is closed early) no further batch starts, and the error is raised.
        """


class InlineExecutor:
    """Run in this process; each result is yielded before the next is computed."""

    def run(self, function: Callable[[Batch], Iterable[Result]], batches: Iterable[Batch]) -> Iterator[Result]:
        """See `Executor.run`."""
        for batch in batches:
            yield from function(batch)


class ProcessExecutor:
    """Run in `workers` new processes; the results of a batch are yielded when the whole batch is done.

    The processes are never forks of this one, which may hold DuckDB's threads and locks. So `function` must be
    importable by name, batches and results must be picklable, and a script needs `if __name__ == "__main__":`.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def run(self, function: Callable[[Batch], Iterable[Result]], batches: Iterable[Batch]) -> Iterator[Result]:
        """See `Executor.run`; a worker process that dies (killed, out of memory) raises `StorageError`."""
        before = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(self._workers, _make_context(function), _start_worker)
        try:
            futures = (pool.submit(_run_batch, function, batch) for batch in batches)
            queued = deque(islice(futures, 2 * self._workers))
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


def make_executor(workers: int) -> Executor:
    """Return an `InlineExecutor` for one worker, else a `ProcessExecutor`; less than 1 is a `UsageError`."""
    if workers < 1:
        raise UsageError(f"invalid number of workers {workers}. Use 1 or more.")
    return InlineExecutor() if workers == 1 else ProcessExecutor(workers)


class IsolatedScript:
    """A Python script in a process of its own, which runs one task after another: a crash in C code ends only that.

    The script reads each task as a line of JSON from stdin, and answers with a line of JSON on stdout. The process
    starts with the first task and ends with this process.
    """

    def __init__(self, script: Path) -> None:
        self._script = script
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def run_task(self, task: Mapping[str, object]) -> Any:
        """Return the script's answer; `ChildProcessError`, with the reason in words, if the process ends before it."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = self._start_process()
            process = self._process
            assert process.stdin
            assert process.stdout
            try:
                with suppress(BrokenPipeError):
                    process.stdin.write(json.dumps(task).encode() + b"\n")
                    process.stdin.flush()
                if answer := process.stdout.readline():
                    return json.loads(answer)
            except BaseException:
                process.kill()
                self._close()
                raise
            code = self._close()
        raise ChildProcessError(f"signal {-code}" if code < 0 else f"exit code {code}")

    def _start_process(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        pipe, command = subprocess.PIPE, [sys.executable, "-P", str(self._script)]
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment)
        atexit.register(self._close)
        return process

    def _close(self) -> int:
        """End the process, if it runs, and return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with suppress(OSError):
            process.communicate()
        return process.returncode


def _make_context(function: Callable[..., object]) -> BaseContext:
    """Start workers from a fork server that has imported the function's module, else by spawning."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([getattr(function, "func", function).__module__])
    return context


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
