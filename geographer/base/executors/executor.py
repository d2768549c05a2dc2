"""The interface of executors, and the choice of one: inline, local processes, or a Dask cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar, runtime_checkable

from geographer.base.errors import UsageError
from geographer.base.executors.task_files import InputFile, list_no_files

Batch = TypeVar("Batch")
Result = TypeVar("Result")

SCHEDULER_VARIABLE: Final = "GEOGRAPHER_SCHEDULER"
"""The environment variable with the address of a Dask scheduler."""
_WORTH_PROCESSES: Final = 128
"""Fewer files than this are made inline: a process starts in half a second."""


@runtime_checkable
class Executor(Protocol):
    """Run a function over batches of work; any object with these members can do so."""

    slots: int
    """How many batches the work is to be split into, at least. One: a single batch may hold all of it."""

    def run(
        self,
        function: Callable[[Batch], Iterable[Result]],
        batches: Iterable[Batch],
        *,
        inputs: Callable[[Batch], Iterable[InputFile]] = list_no_files,
        outputs: Callable[[Batch], Iterable[str | Path]] = list_no_files,
        result_type: object = None,
    ) -> Iterator[Result]:
        """Yield every result of `function(batch)`, in the order of the batches and of the results within a batch.

        Batches are taken from the iterable when a worker is free, so it may be long or lazy. After the first error
        (also Ctrl-C, or an iterator that is closed early) no further batch starts, and the error is raised.

        Args:
            function: A function that other processes can import by name, or a `functools.partial` of one. It opens the
                files of the client by `locate_file(path)`, and touches neither log, state nor the dataset's folder.
            batches: What it is called with, one at a time: objects that pickle.
            inputs: Lists the files that it reads for a batch.
            outputs: Lists the files that it may write for a batch, in folders that exist; each belongs to one batch.
                They are complete at these paths when the batch's first result is yielded, except inline.
            result_type: The type of the results, if msgspec can encode and decode it. A cluster then remembers
                finished batches, so that the same command, if it was stopped, goes on where it stopped. Batches and
                the arguments of a `partial` must consist of values that msgspec encodes, too.
        """


if TYPE_CHECKING:
    from distributed import Client

    from geographer.base.executors.cluster_settings import ClusterSettings

    Workers: TypeAlias = int | str | Client | Executor | None
    """Who does the work: that many processes (1: inline); the address of a Dask scheduler, such as
    `tcp://10.0.0.1:8786`, or a client of one; an executor. None: what `GEOGRAPHER_SCHEDULER` names, else as many
    processes as cores and memory allow."""
else:
    # msgspec reads the types of fields at run time, when distributed may be absent.
    Workers: TypeAlias = int | str | Executor | None


def make_executor(
    workers: Workers = None, *, count: int | None = None, settings: ClusterSettings | None = None
) -> Executor:
    """Return the executor that `workers` names.

    Args:
        workers: See `Workers`.
        count: How many files are made or read in all; few of them are not worth the start of processes, and run inline.
        settings: How a cluster reaches the client's files, see `make_dataset_executor`. None: it gets no files.

    Raises:
        UsageError: less than one worker, or the package for clusters is not installed, or the workers of the cluster
            have other versions.
        StorageError: the scheduler cannot be reached.
    """
    workers = resolve_workers(workers)
    if isinstance(workers, int):
        is_inline = workers == 1 or (count is not None and count < _WORTH_PROCESSES) or not _can_start_processes()
        return _make_inline() if is_inline else _make_processes(workers)
    return workers if isinstance(workers, Executor) else _make_dask(workers, settings)


def resolve_workers(workers: Workers) -> Any:
    """Return `workers` with None replaced by the scheduler or the number of processes that it means; check a number."""
    if workers is None:
        workers = os.environ.get(SCHEDULER_VARIABLE) or count_default_workers()
    if isinstance(workers, int) and workers < 1:
        raise UsageError(f"invalid number of workers {workers}. Use 1 or more.")
    return workers


def check_workers(workers: Any) -> Workers:
    """Return `workers`; `UsageError` if they are no number, address, client or executor."""
    is_address = isinstance(workers, str) and "://" in workers
    is_number = isinstance(workers, int) and not isinstance(workers, bool) and workers >= 1
    is_cluster = isinstance(workers, Executor) or type(workers).__name__ == "Client"
    if workers is not None and not (is_address or is_number or is_cluster):
        noun = "scheduler" if isinstance(workers, str) else "number of workers"
        advice = "Use a number from 1, an address such as tcp://10.0.0.1:8786, or a distributed.Client."
        raise UsageError(f"invalid {noun} {workers!r}. {advice}")
    return workers  # type: ignore[no-any-return]


def count_default_workers() -> int:
    """Return as many processes as the cores and the free memory of this machine, or its container, allow."""
    from geographer.base.executors.machine import count_cores, count_workers_in_memory

    return max(1, min(count_cores(), count_workers_in_memory()))


def _can_start_processes() -> bool:
    """Return whether this process may have children: a worker of multiprocessing, or of PyTorch's loader, may not."""
    multiprocessing = sys.modules.get("multiprocessing")
    return multiprocessing is None or not multiprocessing.current_process().daemon


def _make_inline() -> Executor:
    from geographer.base.executors.inline import InlineExecutor

    return InlineExecutor()


def _make_processes(workers: int) -> Executor:
    from geographer.base.executors.processes import ProcessExecutor

    return ProcessExecutor(workers)


def _make_dask(workers: Any, settings: ClusterSettings | None) -> Executor:
    from geographer.base.executors.cluster_settings import ClusterSettings
    from geographer.base.executors.dask_cluster import DaskExecutor

    return DaskExecutor(workers, settings or ClusterSettings())
