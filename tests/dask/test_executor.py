"""The executor of a Dask cluster: equal results, files with and without a shared disk, deaths, and resuming."""

from __future__ import annotations

import hashlib
import resource
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from geographer.base.errors import CorruptError, StorageError, UsageError
from geographer.base.executors import cluster_run, dask_cluster
from geographer.base.executors.cluster_settings import ClusterSettings
from geographer.base.executors.executor import Executor, Workers, make_executor
from tests.dask import work
from tests.dask.cluster import DaskCluster

Results = list[Any]


def run_batches(workers: Workers, settings: ClusterSettings | None, function, batches) -> Results:
    executor = make_executor(workers, settings=settings)
    types = tuple[int, str]
    results = executor.run(function, batches, inputs=work.list_inputs, outputs=work.list_outputs, result_type=types)
    return list(results)


def hash_outputs(batches: list[work.Batch]) -> list[str]:
    return [hashlib.sha256(Path(batch.target).read_bytes()).hexdigest() for batch in batches]


def count_runs(batches: list[work.Batch]) -> dict[int, int]:
    return dict(Counter(int(line.split()[0]) for line in Path(batches[0].runs).read_text().splitlines()))


@pytest.fixture(params=["shared_settings", "store_settings"])
def settings(request: pytest.FixtureRequest) -> ClusterSettings:
    return request.getfixturevalue(request.param)


def test_results_and_files_equal_inline(client: Client, settings: ClusterSettings, tmp_path: Path):
    batches = work.make_batches(tmp_path, 12)
    expected = run_batches(1, None, work.copy_text, batches), hash_outputs(batches)
    for batch in batches:
        Path(batch.target).unlink()
    assert isinstance(make_executor(client), Executor)
    assert (run_batches(client, settings, work.copy_text, batches), hash_outputs(batches)) == expected
    assert len({line.split()[1] for line in Path(batches[0].runs).read_text().splitlines()}) == 3


def test_files_have_other_paths_without_shared_disk(
    client: Client, shared_settings: ClusterSettings, store_settings: ClusterSettings, tmp_path: Path
):
    batches = work.make_batches(tmp_path, 2)
    assert run_batches(client, shared_settings, work.return_location, batches) == [batches[0].source] * 2
    local = run_batches(client, store_settings, work.return_location, batches)
    assert not any(str(path).startswith(str(tmp_path / "source")) for path in local)
    assert all(str(path).endswith(batches[0].source) for path in local)


def test_each_input_is_fetched_once_by_each_worker(
    cluster: DaskCluster, client: Client, store_settings: ClusterSettings, tmp_path: Path
):
    run_batches(client, store_settings, work.copy_text, work.make_batches(tmp_path, 8))
    md5 = hashlib.md5(b"water ").hexdigest()
    assert [path.read_bytes() for path in cluster.folder.glob(f"*/*/*/geographer/inputs/{md5}")] == [b"water "] * 2
    assert list(cluster.folder.glob("*/*/*/geographer/task-*")) == []
    assert (tmp_path / "store" / "files" / "md5" / md5[:2] / md5[2:]).read_bytes() == b"water "


def test_error_stops_the_run_with_paths_of_client(client: Client, settings: ClusterSettings, tmp_path: Path):
    batches = work.make_batches(tmp_path, 60)
    with pytest.raises(CorruptError) as caught:
        run_batches(client, settings, work.fail_at_three, batches)
    assert str(caught.value) == f"raster '{batches[0].source}' is damaged"
    assert count_runs(batches)[0] == 1
    assert len(count_runs(batches)) < 30
    assert not (tmp_path / "marker").exists()


def test_batch_of_killed_worker_runs_on_the_other(
    cluster: DaskCluster, client: Client, settings: ClusterSettings, tmp_path: Path
):
    batches = work.make_batches(tmp_path, 10, str(tmp_path / "killed"))
    results = run_batches(client, settings, work.kill_worker_once, batches)
    assert results == [(batch.number, batch.target) for batch in batches]
    assert (tmp_path / "killed").exists()
    assert sum(worker.poll() is None for worker in cluster.workers.values()) == 1
    assert [Path(batch.target).read_text() for batch in batches] == [f"water {batch.number}" for batch in batches]


def test_full_disk_of_a_worker_moves_its_batches(
    cluster: DaskCluster, client: Client, store_settings: ClusterSettings, tmp_path: Path
):
    limit = 100_000
    resource.prlimit(cluster.workers["one"].pid, resource.RLIMIT_FSIZE, (limit, limit))
    batches = work.make_batches(tmp_path, 6, size=2 * limit)
    assert len(run_batches(client, store_settings, work.copy_text, batches)) == 6
    assert {len(Path(batch.target).read_text()) for batch in batches} == {2 * limit + len("water 0")}
    assert cluster.workers["one"].wait(20) == 0
    assert "disk is full" in cluster.read_log("one")
    assert cluster.workers["two"].poll() is None


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    cluster = DaskCluster(tmp_path)
    yield cluster
    cluster.stop()


def test_command_goes_on_after_lost_scheduler(
    own_cluster: DaskCluster, settings: ClusterSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Six batches have finished when the scheduler is killed: the same command on a new cluster runs the others."""
    own_cluster.start("first")
    assert own_cluster.scheduler
    assert settings.journal
    (tmp_path / "victim").write_text(str(own_cluster.scheduler.pid))
    batches = work.make_batches(tmp_path, 10, str(tmp_path / "victim"))
    with (
        pytest.raises(StorageError, match=r"lost .* scheduler.* same command again"),
        Client(own_cluster.address, set_as_default=False, timeout=2) as client,
        settings.journal,
    ):
        run_batches(client, settings, work.kill_process_at_six, batches)
    assert len(list((tmp_path / "journal").glob("*.msgpack"))) >= 5
    own_cluster.stop()
    before = count_runs(batches)
    moved = [batch._replace(target=str(tmp_path / "other" / Path(batch.target).name)) for batch in batches]
    (tmp_path / "other").mkdir()
    own_cluster.start("second")
    with Client(own_cluster.address, set_as_default=False) as client, settings.journal:
        results = run_batches(client, settings, work.kill_process_at_six, moved)
    assert results == [(batch.number, batch.target) for batch in moved]
    assert [Path(batch.target).read_text() for batch in moved] == [f"water {batch.number}" for batch in moved]
    after = count_runs(batches)
    assert [after[number] for number in range(5)] == [before[number] for number in range(5)] == [1] * 5
    assert sum(after.values()) <= 12
    assert not (tmp_path / "journal").exists()


def test_other_parameters_begin_again(client: Client, shared_settings: ClusterSettings, tmp_path: Path):
    batches = work.make_batches(tmp_path, 2)
    run_batches(client, shared_settings, work.copy_text, batches)
    assert run_batches(client, shared_settings, work.copy_text, batches)[0] == (0, batches[0].target)
    assert count_runs(batches) == {0: 1, 1: 1}
    run_batches(client, shared_settings, work.copy_text, [batches[0]._replace(size=1), batches[1]])
    assert count_runs(batches) == {0: 2, 1: 1}
    Path(batches[0].source).write_text("other ")
    run_batches(client, shared_settings, work.copy_text, batches)
    assert count_runs(batches) == {0: 3, 1: 2}
    assert Path(batches[1].target).read_text() == "other 1"


def test_workers_that_differ_or_are_missing_are_named(
    own_cluster: DaskCluster, shared_settings: ClusterSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster_run, "_MAX_WITHOUT_WORKER_S", 0.1)
    own_cluster.start_scheduler()
    with pytest.raises(StorageError, match=f"{own_cluster.address} has no worker. Start some: dask worker"):
        make_executor(own_cluster.address)
    information = tmp_path / "packages" / "numpy-1.0.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.0.0\n")
    own_cluster.start_worker("old", environment={"PYTHONPATH": str(information.parent)})
    own_cluster.wait_for_workers(1)
    with pytest.raises(
        UsageError, match=rf"worker tcp://127.0.0.1:\d+ has other versions.*numpy 1.0.0 \(client: {version('numpy')}"
    ):
        make_executor(own_cluster.address)
    # A worker that joins after the check is refused by the task itself.
    monkeypatch.setattr(dask_cluster, "require_equal_versions", lambda *_: None)
    batches = work.make_batches(tmp_path, 2)
    with pytest.raises(UsageError, match=r"numpy 1\.0\.0"):
        run_batches(own_cluster.address, shared_settings, work.copy_text, batches)
    assert not Path(batches[0].runs).exists()
    own_cluster.kill_worker("old")
    own_cluster.start_worker("new")
    own_cluster.wait_for_workers(1)
    with pytest.raises(StorageError, match="no worker any more"):
        run_batches(own_cluster.address, shared_settings, work.kill_always, batches)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "tcp://127.0.0.1", "ftp://127.0.0.1:8786", "tcp://"])
def test_wrong_addresses_are_named(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dask_cluster, "_CONNECT_S", 0.3)
    with pytest.raises((StorageError, UsageError), match=f"'{address}'"):
        make_executor(address)


def test_closed_client_is_refused(cluster: DaskCluster):
    with Client(cluster.address, set_as_default=False) as closed:
        pass
    with pytest.raises(UsageError, match=r"distributed\.Client is closed\. Make a new one"):
        make_executor(closed)


def test_missing_store_is_named(client: Client, tmp_path: Path):
    with pytest.raises(UsageError, match="GEOGRAPHER_STORE"):
        run_batches(client, ClusterSettings(), work.copy_text, work.make_batches(tmp_path, 1))


def test_store_that_workers_cannot_use_is_named(client: Client, store_settings: ClusterSettings, tmp_path: Path):
    (tmp_path / "store").rmdir()
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StorageError, match=r"the store file://.*/store failed"):
        run_batches(client, store_settings, work.copy_text, work.make_batches(tmp_path, 1))


def test_altered_object_is_refused(client: Client, store_settings: ClusterSettings, tmp_path: Path):
    batches = work.make_batches(tmp_path, 1)
    Path(batches[0].source).write_text("not in the cache of a worker")
    md5 = hashlib.md5(b"not in the cache of a worker").hexdigest()
    stored = tmp_path / "store" / "files" / "md5" / md5[:2] / md5[2:]
    stored.parent.mkdir(parents=True)
    stored.write_text("forged")
    with pytest.raises(StorageError, match="other bytes"):
        run_batches(client, store_settings, work.copy_text, batches)
    assert not Path(batches[0].target).exists()
