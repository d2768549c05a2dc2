"""Fixtures for tests of clusters: a scheduler with two workers for all tests, and a folder for its client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client

from geographer.base.executors import client_files, dask_cluster
from geographer.base.executors.batch_journal import BatchJournal
from geographer.base.executors.cluster_settings import ClusterSettings
from geographer.base.executors.object_store import ObjectStore
from tests.dask.cluster import DaskCluster


@pytest.fixture(scope="session")
def _shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    cluster = DaskCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start("one", "two")
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(_shared_cluster: DaskCluster) -> DaskCluster:
    """A cluster of the two workers `one` and `two`; those that an earlier test lost are started again."""
    for name in ("one", "two"):
        worker = _shared_cluster.workers.get(name)
        if worker is None or worker.poll() is not None:
            _shared_cluster.start_worker(name)
    _shared_cluster.wait_for_workers(2)
    return _shared_cluster


@pytest.fixture
def client(cluster: DaskCluster) -> Iterator[Client]:
    with Client(cluster.address, set_as_default=False) as client:
        yield client


@pytest.fixture
def shared_settings(tmp_path: Path) -> ClusterSettings:
    """Settings of a client whose disk the workers see."""
    journal = BatchJournal(tmp_path / "journal")
    return ClusterSettings(tmp_path / "marker", None, None, journal)


@pytest.fixture
def store_settings(tmp_path: Path) -> ClusterSettings:
    """Settings of a client whose disk the workers do not see: files go through a store in a folder."""
    (tmp_path / "store").mkdir()
    journal = BatchJournal(tmp_path / "journal")
    return ClusterSettings(None, lambda: ObjectStore.open_url((tmp_path / "store").as_uri()), None, journal)


@pytest.fixture
def _no_shared_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers find no marker, as if they did not see the disk of this machine."""
    monkeypatch.setattr(dask_cluster, "make_marker", lambda _folder: client_files.make_marker(None))
