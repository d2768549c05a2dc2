"""A run of batches on a Dask cluster: submit a few ahead, take results in order, remember them, and stop cleanly."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import GeographerError, StorageError, UsageError
from geographer.base.executors.batch_journal import make_batch_key
from geographer.base.executors.client_files import InputFiles, delete_marker, fetch_outputs
from geographer.base.executors.cluster_settings import ClusterSettings
from geographer.base.executors.cluster_task import (
    DiskMarker,
    TaskCall,
    TaskReport,
    TaskRules,
    count_running,
    read_store_object,
    run_task,
)
from geographer.base.executors.object_store import ObjectStore
from geographer.base.executors.task_files import InputFile
from geographer.base.executors.versions import read_versions
from geographer.base.progress import show_activity

if TYPE_CHECKING:
    from distributed import Client

_RETRIES: Final = 3
"""How often Dask runs a batch again that failed by a disk, the store or the network."""
_POLL_S: Final = 1.0
_MAX_WITHOUT_WORKER_S: Final = 30.0
_MAX_STOP_S: Final = 5.0
_QUEUED_PER_SLOT: Final = 2
_AHEAD_PER_SLOT: Final = 64
"""How many batches may be finished or under way while an earlier one, on a slow worker, is not finished."""


class _Task(NamedTuple):
    number: int
    call: TaskCall
    key: str | None


class ClusterRun:
    """One run of a function over batches: at most a few batches for each thread of the workers are under way."""

    def __init__(
        self, client: Client, settings: ClusterSettings, marker: DiskMarker | None, result_type: object
    ) -> None:
        """Prepare a run; with a `marker`, workers open files by their paths, else files go through the store."""
        self._client: Any = client
        self._settings, self._marker, self._result_type = settings, marker, result_type
        self._run_id = secrets.token_hex(8)
        self._versions = read_versions(settings.read_versions)
        self._rules = TaskRules(self._run_id, self._versions, settings.read_versions, marker, None)
        self._inputs = InputFiles()
        self._tasks: dict[Any, _Task] = {}
        self._done: dict[int, list[Any]] = {}
        self._counted = 0
        self._slots = 1
        self._seen_worker = time.monotonic()

    def iter_results(
        self,
        function: Callable[[Any], Iterable[Any]],
        batches: Iterable[Any],
        inputs: Callable[[Any], Iterable[InputFile]],
        outputs: Callable[[Any], Iterable[str | Path]],
    ) -> Iterator[Any]:
        """Yield the results of the batches in order."""
        waiting = enumerate(batches)
        next_number, is_complete = 0, False
        try:
            self._count_slots()
            while True:
                while not is_complete and self._has_room():
                    if (item := next(waiting, None)) is None:
                        is_complete = True
                    else:
                        self._begin_batch(function, *item, tuple(inputs(item[1])), tuple(map(str, outputs(item[1]))))
                while next_number in self._done:
                    yield from self._done.pop(next_number)
                    next_number += 1
                if is_complete and not self._tasks and not self._done:
                    return
                if self._tasks and next_number not in self._done:
                    self._await_any()
        finally:
            self._stop_tasks()

    def _has_room(self) -> bool:
        return (
            len(self._tasks) < self._slots * _QUEUED_PER_SLOT
            and len(self._tasks) + len(self._done) < self._slots * _AHEAD_PER_SLOT
        )

    def _begin_batch(
        self,
        function: Callable[[Any], Iterable[Any]],
        number: int,
        batch: Any,
        files: tuple[InputFile, ...],
        outputs: tuple[str, ...],
    ) -> None:
        """Take a batch's results from the journal, or submit it."""
        journal = self._settings.journal if self._result_type is not None else None
        inputs = self._inputs.list_inputs(files) if journal or self._marker is None else ()
        key = None
        if journal is not None:
            md5s = {file.path: file.md5 for file in inputs}
            key = make_batch_key(function, batch, md5s, outputs, self._versions)
        if journal and key and (results := journal.read_results(key, self._result_type, outputs)) is not None:
            self._done[number] = results
            return
        rules = self._rules
        if self._marker is None and (inputs or outputs):
            rules = rules._replace(store=self._opened_store)
            self._inputs.upload_inputs(inputs, self._opened_store)
        call = TaskCall(rules, function, batch, number, inputs, outputs)
        self._tasks[self._submit_call(call)] = _Task(number, call, key)

    def _submit_call(self, call: TaskCall) -> Any:
        import dask

        function = call.function.func if isinstance(call.function, partial) else call.function
        name = (f"geographer-{function.__name__.strip('_')}-{self._run_id}", call.number)
        with translate_dask_errors(), dask.config.set({"distributed.admin.large-graph-warning-threshold": "10 GB"}):
            return self._client.submit(run_task, call, key=name, pure=False, retries=_RETRIES)

    def _await_any(self) -> None:
        """Wait until a task has finished, and take its results."""
        import distributed

        wait: Any = distributed.wait

        with translate_dask_errors(), self._client.as_current():
            try:
                finished = wait([*self._tasks], timeout=_POLL_S, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                self._require_workers()
                return
            reports = [(self._tasks.pop(future), future.result()) for future in finished]
        for task, report in reports:
            self._take_report(task, report)
        workers = f"{self._slots} thread{'s' * (self._slots > 1)} of workers"
        show_activity(f"{self._counted:,} tasks done, {len(self._tasks):,} on {workers}")

    def _take_report(self, task: _Task, report: TaskReport) -> None:
        if report.error is not None:
            raise report.error
        if task.call.rules.store is not None:
            fetch_outputs(report.outputs, task.call.rules.store)
        if task.key and self._settings.journal:
            written = {output.path: output.md5 for output in report.outputs}
            self._settings.journal.write_results(task.key, report.results, task.call.outputs, written)
        self._done[task.number] = report.results
        self._counted += 1

    def _count_slots(self) -> None:
        with translate_dask_errors():
            self._slots = max(1, sum(self._client.nthreads().values()))

    def _require_workers(self) -> None:
        """Count the workers, which come and go; `StorageError` if there has been none for some time."""
        if self._client.status not in ("running", "connecting"):
            raise _make_lost_error()
        threads = sum(self._client.nthreads().values())
        if threads:
            self._slots, self._seen_worker = threads, time.monotonic()
        elif time.monotonic() - self._seen_worker > _MAX_WITHOUT_WORKER_S:
            raise StorageError(
                "the scheduler has no worker any more. Start some (dask worker ADDRESS), and run the same command "
                "again: it goes on where it stopped."
            )

    def _stop_tasks(self) -> None:
        """Cancel what is under way, and wait for tasks that write to the client's disk."""
        show_activity("")
        futures = [*self._tasks]
        self._tasks.clear()
        if self._marker is not None:
            delete_marker(self._marker)
        if not futures:
            return
        with suppress(Exception):
            self._client.cancel(futures, force=True)
            deadline = time.monotonic() + _MAX_STOP_S
            while self._marker is not None and self._client.status == "running" and time.monotonic() < deadline:
                if not any(self._client.run(count_running, self._run_id, on_error="ignore").values()):
                    return
                time.sleep(0.05)

    @cached_property
    def _opened_store(self) -> ObjectStore:
        """The store; `UsageError` if there is none, `StorageError` if a worker cannot read from it."""
        if self._settings.open_store is None:
            raise UsageError(
                "the workers do not see the disk of this machine, and there is no store for files. Set "
                "GEOGRAPHER_STORE to the URL of one, such as s3://bucket/prefix."
            )
        store = self._settings.open_store()
        self._probe_store(store)
        return store

    def _probe_store(self, store: ObjectStore) -> None:
        with translate_dask_errors(), store.hold_probe() as md5:
            answers = self._client.run(read_store_object, store, md5, on_error="return")
        for address, answer in sorted(answers.items()):
            if answer:
                raise StorageError(f"worker {address} cannot read from the store {store.url}: {answer}")


@contextmanager
def translate_dask_errors() -> Iterator[None]:
    """Raise the errors of a cluster as `StorageError`: a lost scheduler, dead workers, a failed connection."""
    from distributed import KilledWorker
    from distributed.comm.core import CommClosedError

    try:
        yield
    except GeographerError:
        raise
    except (CancelledError, CommClosedError) as error:
        raise _make_lost_error() from error
    except KilledWorker as error:
        raise StorageError(
            "several workers ended while they ran the same batch (out of memory?). Give them more memory or fewer "
            "threads, and run the same command again: it goes on where it stopped."
        ) from error
    except ImportError as error:
        raise UsageError(f"a worker lacks a package: {error}. Install the client's versions on all workers.") from error
    except OSError as error:
        raise StorageError(f"the cluster failed: {error}. Run the same command again.") from error


def _make_lost_error() -> StorageError:
    return StorageError(
        "lost the connection to the scheduler. Start it again (dask scheduler), and run the same command again: it "
        "goes on where it stopped."
    )
