"""The executor of a Dask cluster: connect to a scheduler by its address, check its workers, and run batches on them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import MissingLibraryError, StorageError, UsageError
from geographer.base.executors.client_files import make_marker
from geographer.base.executors.cluster_run import ClusterRun, translate_dask_errors
from geographer.base.executors.cluster_settings import ClusterSettings
from geographer.base.executors.cluster_task import WorkerFacts, read_worker_facts
from geographer.base.executors.executor import Batch, Result
from geographer.base.executors.task_files import InputFile, list_no_files
from geographer.base.executors.versions import read_versions, require_equal_versions

if TYPE_CHECKING:
    from distributed import Client

_CONNECT_S: Final = 10.0
_BATCHES_PER_THREAD: Final = 4
_PACKAGE: Final = "geographer-datasets"
_clients: Final[dict[str, Client]] = {}
"""The clients of this process by the address of their scheduler: connecting takes longer than a small task."""


class DaskExecutor:
    """Run on the workers of a Dask cluster, with the scheduler's own retries and its own choice of workers.

    Workers have the same versions of geographer and of the libraries that decide bytes. They need not see the client's
    disk: see `ClusterSettings`. Dask runs pickled functions, so that a user who reaches its scheduler controls client
    and workers: use it in a trusted network, or with TLS (`tls://`, with the certificates in Dask's configuration).
    """

    def __init__(self, workers: str | Client, settings: ClusterSettings) -> None:
        """Connect to the scheduler at an address, or use a client of one, and compare versions.

        Raises:
            UsageError: the address is invalid, the client is closed or asynchronous, the package is not installed, or a
                worker has other versions.
            StorageError: the scheduler cannot be reached, or has no worker.
        """
        self._settings = settings
        self._client = _connect_client(workers) if isinstance(workers, str) else _require_usable(workers)
        with translate_dask_errors():
            self.sees_disk = _check_workers(self._client, settings)
            threads = sum(_read_threads(self._client).values())
        # A few batches for each thread, so that a lost or slow worker, or a new one, changes little.
        self.slots = _BATCHES_PER_THREAD * max(1, threads)

    def run(
        self,
        function: Callable[[Batch], Iterable[Result]],
        batches: Iterable[Batch],
        *,
        inputs: Callable[[Batch], Iterable[InputFile]] = list_no_files,
        outputs: Callable[[Batch], Iterable[str | Path]] = list_no_files,
        result_type: object = None,
    ) -> Iterator[Result]:
        """See `Executor.run`.

        Raises:
            StorageError: the scheduler is lost, no worker is left, workers end while they run a batch, or a disk or the
                store failed. The same command goes on where it stopped.
        """
        with make_marker(self._settings.folder if self.sees_disk else None) as marker:
            run = ClusterRun(self._client, self._settings, marker, result_type)
            yield from run.iter_results(function, batches, inputs, outputs)


def _connect_client(address: str) -> Client:
    """Return the client of a scheduler that this process has, or a new one."""
    client = _clients.get(address)
    if client is None or client.status != "running":
        client = _clients[address] = _open_client(address)
    return client


def _require_usable(client: Client) -> Client:
    if client.asynchronous:
        raise UsageError("the distributed.Client is asynchronous. Make one without asynchronous=True.")
    if client.status != "running":
        raise UsageError(f"the distributed.Client is {client.status}. Make a new one, or pass the scheduler's address.")
    return client


def _open_client(address: str) -> Client:
    make_client = _find_client_class(address)
    # Dask's own reports of a lost scheduler would come beside the error that the command prints.
    for name in ("distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            # The check of versions says more, and refuses to work.
            warnings.filterwarnings("ignore", message="Mismatched versions")
            return make_client(address, timeout=_CONNECT_S, set_as_default=False)
    except (ValueError, TypeError, ImportError, KeyError) as error:
        advice = "Use an address such as tcp://10.0.0.1:8786."
        raise UsageError(f"invalid scheduler {address!r}: {error}. {advice}") from error
    except (OSError, OverflowError) as error:
        raise StorageError(
            f"cannot reach the scheduler {address!r}. Start it (dask scheduler), or check the address, the network and "
            "the firewall."
        ) from error


def _find_client_class(address: str) -> Callable[..., Client]:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingLibraryError(
            f"the scheduler {address!r} needs a package: pip install '{_PACKAGE}[dask]'"
        ) from error

    class QuietClient(Client):
        """A client that does not wait to be closed if it never reached its scheduler."""

        def __del__(self) -> None:
            if self.status == "running":
                super().__del__()  # type: ignore[no-untyped-call]

    return QuietClient


def _check_workers(client: Client, settings: ClusterSettings) -> bool:
    """Compare the versions of all workers with those of the client; return whether all of them see the client's disk.

    `UsageError` if one differs, `StorageError` if there is no worker.
    """
    _require_package(client)
    expected = read_versions(settings.read_versions)
    with make_marker(settings.folder) as marker:
        answers = client.run(read_worker_facts, marker, settings.read_versions, on_error="return")
    for address, facts in sorted(answers.items()):
        if not isinstance(facts, WorkerFacts):
            raise UsageError(f"worker {address} cannot run this version of {_PACKAGE}: {facts}. Install it there.")
        require_equal_versions(address, expected, facts.versions)
    return all(facts.sees_disk for facts in answers.values())


def _read_threads(client: Any) -> Mapping[str, int]:
    threads: Mapping[str, int] = client.nthreads()
    return threads


def _require_package(client: Client) -> None:
    """Ask for the version by a function that every worker has: others are found in the package that may be missing."""
    answers = client.run(version, _PACKAGE, on_error="return")
    if not answers:
        address = client.scheduler_info()["address"]
        raise StorageError(f"the scheduler {address} has no worker. Start some: dask worker {address}")
    for address, answer in sorted(answers.items()):
        if isinstance(answer, BaseException):
            raise UsageError(f"worker {address} has no {_PACKAGE}. Install the client's version there.")
