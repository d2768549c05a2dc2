"""Pixels of changed files: rasters and labels of two revisions, whose former bytes may have to be fetched."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from geographer import Dataset
from tests.cli.runner import run_command
from tests.sample_history import SampleHistory, write_scenes


@pytest.fixture(scope="module")
def dataset(sample_history: SampleHistory) -> Dataset:
    return Dataset.open(sample_history.root)


def read_pixels(dataset: Dataset, raster_id: str, at: str) -> np.ndarray:
    with dataset.open_raster(raster_id, at=at) as raster:
        return raster.read()


def test_changed_rasters_are_compared(dataset):
    files = {file.id: file for file in dataset.diff("v1", "v2", pixels=True).files if file.kind != "label"}
    altered = {
        item.keys[0]
        for item in dataset.diff("v1", "v2").iter_objects()
        if item.kind == "raster" and item.change == "changed"
    }
    assert {"b"} < files.keys() == altered
    for raster_id, file in files.items():
        old, new = (read_pixels(dataset, raster_id, at) for at in ("v1", "v2"))
        assert file.problem is None
        assert file.change.changed == (old != new).any(axis=0).sum()
        assert [band.changed for band in file.change.bands] == (old != new).sum(axis=(1, 2)).tolist()


def test_label_pixels_are_counted_by_class(dataset, sample_history):
    (file,) = (file for file in dataset.diff("v1", "v2", pixels=True).files if file.kind == "label")
    label, raster_id = file.id.split("/", 1)
    masks = []
    for at in ("v1", "v2"):
        with dataset.open_label(label, raster_id, at=at) as mask:
            masks.append(mask.read(1))
    pairs = zip(masks[0].ravel().tolist(), masks[1].ravel().tolist(), strict=True)
    assert file.values == Counter((1, old, new) for old, new in pairs if old != new)
    lines = run_command(sample_history.root, "diff", "v1", "v2", "--pixels", "--stat").splitlines()
    assert any(line.startswith(f"label {file.id}: pixels ") and "→ water" in line for line in lines)


def test_references_are_not_compared(sample_history, tmp_path):
    import shutil

    copy = Dataset.open(shutil.copytree(sample_history.root, tmp_path / "copy"))
    write_scenes(copy.root / "archive", "d", offset=3, seed=77)
    copy.add_rasters([copy.root / "archive" / "d.tif"], mode="reference", collection="archive", replace=True)
    (file,) = copy.diff(pixels=True, only=["rasters"]).files
    assert file.problem is not None
    assert "reference" in file.problem
    envelope = json.loads(run_command(copy.root, "diff", "--pixels", "--json"))
    assert [item["problem"] for item in envelope["pixels"] if item["id"] == "d"] == [file.problem]


def test_former_bytes_come_from_the_remote(team, tmp_path):
    ada = Dataset.open(team.ada)
    (scene, *_) = write_scenes(tmp_path / "again", "a", seed=55)
    ada.add_rasters([scene], replace=True)
    ada.push(revisions="all")
    bob = Dataset.clone(str(team.remote), team.folder / "bob", pixels=False)
    (file,) = (file for file in bob.diff(pixels=True).files if file.kind == "raster")
    assert file.change is not None
    old, new = (read_pixels(ada, "a", at) for at in ("HEAD~1", "HEAD"))
    assert file.change.changed == (old != new).any(axis=0).sum()
