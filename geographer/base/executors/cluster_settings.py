"""What the executor of a cluster needs to know of the client: its disk, its store, its versions, its journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from geographer.base.executors.batch_journal import BatchJournal
from geographer.base.executors.object_store import ObjectStore
from geographer.base.executors.versions import Versions


@dataclass(frozen=True)
class ClusterSettings:
    """Settings of a run on a cluster.

    Attributes:
        folder: A folder on the disk of the files that tasks read and write. Workers that see it open files by their
            paths. None: files go through the store.
        open_store: Opens the store for workers that do not see that disk. None: there is none.
        read_versions: Reads the versions that decide bytes, beside those that `read_package_versions` reads; the
            workers must be able to import it.
        journal: Remembers finished batches. None: a stopped run begins again.
    """

    folder: Path | None = None
    open_store: Callable[[], ObjectStore] | None = None
    read_versions: Callable[[], Versions] | None = None
    journal: BatchJournal | None = None
