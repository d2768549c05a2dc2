"""Executors for the work of a dataset: on a cluster without a shared disk, files go through a remote of DVC."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geographer.base.errors import NotFoundError, UsageError
from geographer.base.executors.executor import Executor, Workers, count_default_workers, make_executor
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER

if TYPE_CHECKING:
    from geographer.base.executors.batch_journal import BatchJournal
    from geographer.base.executors.object_store import ObjectStore

STORE_VARIABLE: Final = "GEOGRAPHER_STORE"
"""The environment variable with the URL of a store, or the name of a remote of DVC, for workers of a cluster."""
_BATCHES: Final = "batches"


def make_dataset_executor(
    workers: Workers, root: Path, *, count: int | None = None, journal: BatchJournal | None = None
) -> Executor:
    """Return the executor for work that reads files of the dataset in `root`, or writes into its folder.

    Workers of a cluster that do not see the folder get files from the store, and send those that they make there: the
    store is what `GEOGRAPHER_STORE` names, else DVC's default remote, where a later push finds them.

    Args:
        workers: See `Workers`.
        root: The dataset's folder.
        count: How many files are made or read; few of them run inline. See `make_executor`.
        journal: Remembers finished batches, see `open_batch_journal`. None: a stopped command begins again.

    Raises:
        UsageError, StorageError: see `make_executor`.
    """
    if isinstance(workers, int | Executor):
        return make_executor(workers, count=count)
    from geographer.base.executors.cluster_settings import ClusterSettings
    from geographer.rasters.write import read_software_versions

    settings = ClusterSettings(
        _make_batches_folder(root), partial(open_object_store, root), read_software_versions, journal
    )
    return make_executor(workers, count=count, settings=settings)


def make_folder_executor(workers: Workers, *, count: int) -> Executor:
    """Return the executor for work that reads files of a folder that is no dataset, and is not written to.

    Workers of a cluster read them by their paths if they run on this machine, else from the store that the URL
    `GEOGRAPHER_STORE` names.

    Raises:
        UsageError, StorageError: see `make_executor`.
    """
    if isinstance(workers, int | Executor):
        return make_executor(workers, count=count)
    from geographer.base.executors.cluster_settings import ClusterSettings
    from geographer.rasters.write import read_software_versions

    settings = ClusterSettings(Path(tempfile.gettempdir()), _open_named_store, read_software_versions)
    return make_executor(workers, count=count, settings=settings)


def make_local_executor(workers: Workers, root: Path, *, count: int) -> Executor:
    """Return the executor for work on files that are not worth a transfer: of a cluster, if it sees the disk.

    Other clusters are replaced by as many processes of this machine as its cores and memory allow.
    """
    executor = make_dataset_executor(workers, root, count=count)
    return executor if getattr(executor, "sees_disk", True) else make_executor(count_default_workers(), count=count)


def open_batch_journal(root: Path) -> BatchJournal:
    """Open the journal of finished batches of the dataset in `root`; use it as a context manager around a command."""
    from geographer.base.executors.batch_journal import BatchJournal

    return BatchJournal(_make_batches_folder(root))


def open_object_store(root: Path) -> ObjectStore:
    """Open the store of objects that a client with the dataset in `root` shares with the workers of a cluster.

    Raises:
        UsageError: there is no store, its settings are invalid, or it can only be read.
    """
    from geographer.base.executors.object_store import ObjectStore
    from geographer.storage.dvc.remote import open_remote

    name = os.environ.get(STORE_VARIABLE)
    if name and "://" in name:
        return ObjectStore.open_url(name)
    try:
        return open_remote(root, name).open_object_store()
    except NotFoundError as error:
        raise UsageError(
            f"the workers do not see the disk of this machine, and there is no store for files: {error} Or set "
            f"{STORE_VARIABLE} to a URL such as s3://bucket/prefix."
        ) from error


def _open_named_store() -> ObjectStore:
    from geographer.base.executors.object_store import ObjectStore

    url = os.environ.get(STORE_VARIABLE, "")
    if "://" not in url:
        raise UsageError(
            f"the workers do not run on this machine, and there is no store for files. Set {STORE_VARIABLE} to the URL "
            "of one, such as s3://bucket/prefix."
        )
    return ObjectStore.open_url(url)


def _make_batches_folder(root: Path) -> Path:
    return root.resolve() / GEOGRAPHER_FOLDER / _BATCHES
