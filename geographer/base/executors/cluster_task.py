"""A task of a cluster: what runs on a worker, from the check of its versions to the upload of its outputs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import GeographerError, StorageError
from geographer.base.executors.object_store import ObjectStore, compute_md5, is_disk_full
from geographer.base.executors.task_files import use_task_files
from geographer.base.executors.versions import Versions, read_versions, require_equal_versions
from geographer.base.executors.worker_files import FetchedInput, InputCache, TaskFolder, make_task_folder

if TYPE_CHECKING:
    from distributed import Worker

_LEAVE_SECONDS: Final = 5.0

_running: Final[Counter[str]] = Counter()
_running_lock: Final = threading.Lock()


class DiskMarker(NamedTuple):
    """A file on the client's disk with random content: a worker that reads it sees that disk.

    The client deletes it to stop the tasks that are running.
    """

    path: str
    content: bytes

    def is_visible(self) -> bool:
        """Return whether this process sees the client's disk."""
        try:
            return Path(self.path).read_bytes() == self.content
        except OSError:
            return False


class TaskRules(NamedTuple):
    """What all tasks of a run have in common.

    Attributes:
        run_id: Names the run.
        versions: Those of the client, which those of the worker must equal.
        read_more_versions: Reads those that `read_package_versions` lacks.
        marker: The marker, if workers open the client's files by their paths.
        store: The store that files go through, if workers do not see the client's disk.
    """

    run_id: str
    versions: Versions
    read_more_versions: Callable[[], Versions] | None
    marker: DiskMarker | None
    store: ObjectStore | None


@dataclass(frozen=True)
class TaskCall:
    """A batch for a worker, with its files; `repr`, which Dask logs, shows no content."""

    rules: TaskRules = field(repr=False)
    function: Callable[[Any], Iterable[Any]] = field(repr=False)
    batch: Any = field(repr=False)
    number: int
    inputs: tuple[FetchedInput, ...] = field(default=(), repr=False)
    outputs: tuple[str, ...] = field(default=(), repr=False)


class WrittenFile(NamedTuple):
    """An output that a task wrote: its path on the client, and its MD5."""

    path: str
    md5: str


class TaskReport(NamedTuple):
    """What a task returns: its results and the outputs that it wrote, or the error that running it again would repeat.

    Errors that may pass are raised, so that Dask runs the task again.
    """

    results: list[Any]
    outputs: list[WrittenFile]
    error: GeographerError | None = None


def run_task(call: TaskCall) -> TaskReport:
    """Run a batch on a worker.

    Raises:
        StorageError: The store or a disk failed. If it is the worker's own disk that is full, the worker leaves the
            cluster, so that Dask runs the batch on another one.
    """
    with _count_running(call.rules.run_id):
        try:
            worker = _find_worker()
            require_equal_versions(worker.address, call.rules.versions, read_versions(call.rules.read_more_versions))
            if call.rules.store is not None:
                return _run_with_store(call, call.rules.store, worker)
            return _run_on_client_disk(call)
        except StorageError:
            raise
        except GeographerError as error:
            return TaskReport([], [], error)


def count_running(run_id: str) -> int:
    """Return how many tasks of a run this worker is running."""
    return _running[run_id]


def _run_on_client_disk(call: TaskCall) -> TaskReport:
    marker = call.rules.marker
    if marker is not None:
        _require_visible(marker)
    with use_task_files(None) as md5s:
        results = []
        for result in call.function(call.batch):
            results.append(result)
            if marker is not None and not Path(marker.path).exists():
                raise StorageError("the command was stopped.")
        written = [path for path in call.outputs if Path(path).is_file()]
        return TaskReport(results, [WrittenFile(path, md5s.get(path) or compute_md5(Path(path))) for path in written])


def _require_visible(marker: DiskMarker) -> None:
    if not marker.is_visible():
        raise StorageError(
            f"worker {_find_worker().address} does not see the disk of the command, as the others do, or the command "
            "was stopped. Run it again."
        )


def _run_with_store(call: TaskCall, store: ObjectStore, worker: Worker) -> TaskReport:
    scratch = Path(worker.local_directory) / "geographer"
    cache = _open_cache(scratch / "inputs")
    with _leave_if_disk_is_full(worker, cache), make_task_folder(scratch, call.inputs, call.outputs) as folder:
        try:
            return _run_in_folder(call, store, cache, folder)
        except GeographerError as error:
            error.args = tuple(folder.restore_paths(str(argument)) for argument in error.args)
            raise


def _run_in_folder(call: TaskCall, store: ObjectStore, cache: InputCache, folder: TaskFolder) -> TaskReport:
    folder.fetch_inputs(call.inputs, cache, store)
    with use_task_files(folder.locate_file) as md5s:
        results = list(call.function(call.batch))
    located = {path: folder.locate_file(Path(path)) for path in call.outputs}
    written = {path: file for path, file in located.items() if file.is_file()}
    outputs = [WrittenFile(path, md5s.get(str(file)) or compute_md5(file)) for path, file in written.items()]
    store.put_objects({output.md5: written[output.path] for output in outputs})
    return TaskReport(results, outputs)


@cache
def _open_cache(folder: Path) -> InputCache:
    return InputCache(folder)


@contextmanager
def _leave_if_disk_is_full(worker: Worker, cache: InputCache) -> Iterator[None]:
    """Let the worker leave the cluster at an error of its own full disk: Dask would give it the batch again."""
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        cache.clear_inputs()
        _leave_cluster(worker)
        raise StorageError(
            f"the disk of worker {worker.address} is full ({worker.local_directory}). Free some space there."
        ) from error


def _leave_cluster(worker: Worker) -> None:
    """Close the worker as soon as this task has ended, and wait until the scheduler gives it no further one."""
    worker.loop.add_callback(worker.close_gracefully, reason="geographer: the worker's disk is full")
    deadline = time.monotonic() + _LEAVE_SECONDS
    while worker.status.name == "running" and time.monotonic() < deadline:
        time.sleep(0.01)


def _find_worker() -> Worker:
    from distributed import get_worker

    return get_worker()


@contextmanager
def _count_running(run_id: str) -> Iterator[None]:
    with _running_lock:
        _running[run_id] += 1
    try:
        yield
    finally:
        with _running_lock:
            _running[run_id] -= 1
            if not _running[run_id]:
                del _running[run_id]


class WorkerFacts(NamedTuple):
    """What a worker says before any work: its versions, and whether it sees the client's disk."""

    versions: Versions
    sees_disk: bool


def read_worker_facts(marker: DiskMarker | None, read_more_versions: Callable[[], Versions] | None) -> WorkerFacts:
    """Return the facts of the worker that runs this."""
    return WorkerFacts(read_versions(read_more_versions), marker is not None and marker.is_visible())


def read_store_object(store: ObjectStore, md5: str, dask_worker: Worker) -> str:
    """Return why this worker, which Dask passes, cannot read an object of the store; an empty text if it can."""
    path = Path(dask_worker.local_directory) / f"geographer-{md5}"
    try:
        store.get_objects([(md5, path)])
    except (StorageError, OSError, ImportError) as error:
        return str(error)
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return ""
