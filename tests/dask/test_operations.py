"""What reads files on a cluster, whose workers see only a store: the answers are those of one process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from geographer import Dataset
from geographer.base.executors.executor import Workers
from geographer.storage.dvc import dataset_executor
from tests.dask.test_datasets import create_dataset
from tests.sample_history import write_scenes
from tests.shared_folders import copy_once

Answer = Callable[[Dataset, Workers, Path], Any]


def create_chips(folder: Path) -> None:
    create_dataset(folder)
    dataset = Dataset.open(folder / "dataset")
    dataset.cut_grid("tiles", size=20, edge="pad")
    dataset.label_masks("masks", collection="tiles")
    dataset.split("parts", collection="tiles", parts={"train": 0.5, "test": 0.5})
    dataset.cut_grid("windows", size=16, virtual=True)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_once(tmp_path_factory, "cluster-chips", create_chips) / "dataset"


@pytest.fixture
def copies(template: Path, tmp_path: Path) -> tuple[Dataset, Dataset]:
    """Two copies of the dataset: nothing that one has read helps the other."""
    first, second = (shutil.copytree(template, tmp_path / name, symlinks=True) for name in ("first", "second"))
    return Dataset.open(first), Dataset.open(second)


def compute_statistics(dataset: Dataset, workers: Workers, _folder: Path) -> Any:
    return dataset.compute_statistics(split="parts", workers=workers).to_dict()


def compute_window_statistics(dataset: Dataset, workers: Workers, _folder: Path) -> Any:
    return dataset.compute_statistics(collection="windows", workers=workers).to_dict()


def export_pictures(dataset: Dataset, workers: Workers, folder: Path) -> Any:
    return dataset.export_samples("coco", folder, split="parts", record=False, workers=workers).manifest


def export_window_pictures(dataset: Dataset, workers: Workers, folder: Path) -> Any:
    return dataset.export_samples("coco", folder, collection="windows", record=False, workers=workers).manifest


def certify(dataset: Dataset, workers: Workers, _folder: Path) -> Any:
    return dataset.certify_split("parts", duplicates=True, workers=workers).to_dict()


def verify(dataset: Dataset, workers: Workers, _folder: Path) -> Any:
    altered = dataset.root / "rasters" / "tiles" / "a_r0_c0.tif"
    if not altered.exists():
        altered = next((dataset.root / "rasters" / "tiles").glob("*.tif"))
    altered.chmod(0o644)
    altered.write_bytes(altered.read_bytes()[::-1])
    return [finding.to_dict() for finding in dataset.verify(workers=workers)]


def rerun(dataset: Dataset, workers: Workers, _folder: Path) -> Any:
    return sorted(map(str, dataset.rerun_revision(workers=workers).iter_rows()))


def add_rasters(dataset: Dataset, workers: Workers, folder: Path) -> Any:
    folder.mkdir()
    scenes = write_scenes(folder, "c", "d")
    dataset.add_rasters(scenes, collection="more", workers=workers)
    return dataset.rasters(collection="more").to_pylist()


@pytest.mark.usefixtures("_no_shared_disk")
@pytest.mark.parametrize(
    "answer",
    [
        *(compute_statistics, compute_window_statistics, export_pictures, export_window_pictures),
        *(certify, verify, rerun, add_rasters),
    ],
)
def test_answers_equal_one_process(
    client: Client,
    copies: tuple[Dataset, Dataset],
    answer: Answer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    (tmp_path / "store").mkdir()
    monkeypatch.setenv(dataset_executor.STORE_VARIABLE, (tmp_path / "store").as_uri())
    expected = answer(copies[0], 1, tmp_path / "inline")
    assert expected
    assert answer(copies[1], client, tmp_path / "cluster") == expected
