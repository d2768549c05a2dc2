"""Chips and labels made by a cluster: the same files and rows as inline, with any store, and nothing secret shown."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from distributed import Client

from geographer import Dataset
from geographer.base.errors import StorageError
from geographer.base.executors.executor import Workers
from geographer.sharing import push
from geographer.storage.dvc import dataset_executor
from geographer.storage.dvc.remote import Remote
from tests.dask.cluster import DaskCluster
from tests.remote_servers import PASSWORD, RemoteServers, add_remote
from tests.sample_history import point_geometry, square_geometry, write_features, write_scenes
from tests.sample_masks import make_mask, write_mask
from tests.shared_folders import copy_once

FEATURES = {"p1": ("lake", point_geometry(10.5, 10.5)), "p2": ("quarry", square_geometry(40, 40, 6))}


def create_dataset(folder: Path) -> None:
    """Create two scenes, features, and a label of a user on the first scene."""
    dataset = Dataset.init(folder / "dataset", classes=["lake", "quarry"], scm=False)
    dataset.add_features(write_features(folder / "features.geojson", FEATURES), crs="EPSG:32633")
    dataset.add_rasters(write_scenes(folder / "scenes", "a", "b"))
    write_mask(folder / "masks" / "a.tif", make_mask(1), scene=0)
    dataset.add_labels(folder / "masks" / "a.tif", label="drawn", collection="source")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_once(tmp_path_factory, "cluster-dataset", create_dataset) / "dataset"


@pytest.fixture
def dataset(template: Path, tmp_path: Path) -> Dataset:
    return Dataset.open(shutil.copytree(template, tmp_path / "dataset", symlinks=True))


def cut_chips(dataset: Dataset, workers: Workers) -> None:
    dataset.cut_grid("tiles", size=20, edge="pad", workers=workers)


def make_chips(dataset: Dataset, workers: Workers) -> None:
    cut_chips(dataset, workers)
    dataset.label_masks("masks", collection="tiles", workers=workers)
    dataset.label_boxes("boxes", collection="source", workers=workers)


def list_rows(dataset: Dataset) -> list[dict]:
    return dataset.rasters().to_pylist() + dataset.labels().to_pylist()


def list_chip_rows(rows: list[dict]) -> list[dict]:
    """Return the rows of chips, and of the windows of the label that a user drew."""
    return [row for row in rows if row["raster_id"].startswith("tiles/") and row.get("label", "drawn") == "drawn"]


@pytest.fixture(scope="module")
def expected(template: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    dataset = Dataset.open(shutil.copytree(template, tmp_path_factory.mktemp("inline") / "dataset", symlinks=True))
    make_chips(dataset, 1)
    return list_rows(dataset)


def test_files_and_rows_equal_inline(client: Client, dataset: Dataset, expected: list[dict]):
    make_chips(dataset, client)
    assert list_rows(dataset) == expected
    dataset.verify()
    assert not (dataset.root / ".geographer" / "batches").exists()


@pytest.mark.usefixtures("_no_shared_disk")
def test_workers_without_shared_disk_use_the_remote(
    cluster: DaskCluster,
    client: Client,
    dataset: Dataset,
    expected: list[dict],
    remote_servers: RemoteServers,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    """Files go through S3, from which a push need not send them again; the password stays out of all logs."""
    add_remote(dataset.root, "cloud", remote_servers.start_server("s3").make_settings("cluster"))
    make_chips(dataset, client)
    assert list_rows(dataset) == expected
    monkeypatch.setattr(push, "_MANY", 0)  # A push of few objects sends them without asking which are there.
    sent: list[str] = []
    upload_objects = Remote.upload_objects

    def note_objects(remote: Remote, files: dict[str, Path], *more) -> None:
        sent.extend(files)
        upload_objects(remote, files, *more)

    monkeypatch.setattr(Remote, "upload_objects", note_objects)
    dataset.push()
    assert sent
    assert not {row["md5"] for row in expected}.intersection(sent)
    logs = [cluster.read_log(name) for name in ("scheduler", *cluster.workers)] + [caplog.text]
    assert not any(PASSWORD in text for text in logs)
    assert PASSWORD.encode() not in (dataset.root / ".geographer" / "log.duckdb").read_bytes()


@pytest.mark.usefixtures("_no_shared_disk")
def test_store_of_the_environment_comes_first(
    client: Client, dataset: Dataset, expected: list[dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "store").mkdir()
    monkeypatch.setenv(dataset_executor.STORE_VARIABLE, (tmp_path / "store").as_uri())
    cut_chips(dataset, client)
    assert list_chip_rows(list_rows(dataset)) == list_chip_rows(expected)
    assert len(list((tmp_path / "store" / "files" / "md5").glob("*/*"))) > 30


def test_failed_command_records_nothing(
    client: Client, dataset: Dataset, expected: list[dict], monkeypatch: pytest.MonkeyPatch
):
    """The chips are made, and then the disk fails; the same command later takes them from the journal."""
    head = len(dataset.log())

    def fail(*_: object, **__: object) -> None:
        raise StorageError("the disk failed.")

    with monkeypatch.context() as patch:
        patch.setattr("geographer.operations.cut.chip_labels.ChipLabels.cut_windows", fail)
        with pytest.raises(StorageError, match="disk failed"):
            cut_chips(dataset, client)
    assert len(dataset.log()) == head
    assert list((dataset.root / ".geographer" / "staging").iterdir()) == []
    kept = sorted((dataset.root / ".geographer" / "batches").glob("*.msgpack"))
    assert len(kept) == 8
    monkeypatch.setattr(client, "submit", fail)
    with pytest.raises(StorageError, match="disk failed"):
        cut_chips(dataset, client)
    assert sorted((dataset.root / ".geographer" / "batches").glob("*.msgpack")) == kept
    monkeypatch.undo()
    cut_chips(dataset, client)
    assert list_chip_rows(list_rows(dataset)) == list_chip_rows(expected)
