"""Ids, positions and numbers of numpy, pandas and Arrow work as those of Python, in every method that takes them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely

from geographer import Dataset, UsageError
from tests.sample_rasters import make_pixels, write_scene

Call = Callable[[Dataset, Any], Any]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, empty_dataset: Path) -> Dataset:
    """Features 1 to 3 on the rasters 17 and 18, which have labels; feature 3 and raster 18 were removed once."""
    folder = tmp_path_factory.mktemp("ids")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    shapes = [shapely.Point(500105 + 50 * number, 5199895) for number in range(3)]
    dataset.add_features(geopandas.GeoDataFrame({"id": [1, 2, 3]}, geometry=shapes, crs="EPSG:32633"))
    transform = (10.0, 0.0, 500000.0, 0.0, -10.0, 5200000.0)
    for name in (17, 18):
        pixels = make_pixels(1, 32, 32, "uint8", seed=name)
        dataset.add_rasters(write_scene(folder / f"{name}.tif", pixels, transform=transform))
    dataset.label_masks("mask", collection="source")
    dataset.remove_features([3])
    dataset.remove_rasters(["18"])
    return dataset


def read_label(dataset: Dataset, raster_id: Any) -> str:
    label: Any = dataset.open_label("mask", raster_id)
    with label:
        return str(label.name)


READS: dict[str, tuple[Call, int]] = {
    "rasters_containing": (lambda dataset, value: dataset.rasters_containing(value), 1),
    "features_contained_in": (lambda dataset, value: dataset.features_contained_in(value), 17),
    "features": (lambda dataset, value: dataset.features(feature=value).to_pylist(), 1),
    "edges": (lambda dataset, value: dataset.edges(raster=value).to_pylist(), 17),
    "column": (lambda dataset, value: dataset.features(feature_id=value).to_pylist(), 2),
    "history": (lambda dataset, value: dataset.history(value), 1),
    "explain_object": (lambda dataset, value: dataset.explain_object(value), 1),
    "open_raster": (lambda dataset, value: dataset.open_raster(value).name, 17),
    "open_label": (read_label, 17),
    "blame_pixel": (lambda dataset, value: dataset.blame_pixel("mask", 17, value, value), 10),
    "at": (lambda dataset, value: dataset.features(at=value).to_pylist(), 2),
    "show": (lambda dataset, value: dataset.show(value), 2),
    "log": (lambda dataset, value: dataset.log(value, at=value), 2),
    "diff": (lambda dataset, value: dataset.diff(value, 4, ids=value).table.to_pylist(), 1),
    "sql": (lambda dataset, value: dataset.sql("SELECT ? + 1 AS n", parameters=[value]).to_pylist(), 1),
}


@pytest.mark.parametrize("name", READS)
def test_numbers_of_numpy_and_arrow_are_ids(name: str, dataset: Dataset) -> None:
    call, value = READS[name]
    expected = call(dataset, value)
    assert call(dataset, np.int64(value)) == expected
    if name not in ("blame_pixel", "at", "show", "log", "diff"):
        assert call(dataset, pa.scalar(value)) == expected


WRITES: dict[str, tuple[Call, int]] = {
    "remove_features": (lambda dataset, ids: dataset.remove_features(ids, dry_run=True), 1),
    "restore_features": (lambda dataset, ids: dataset.restore_features(ids, dry_run=True), 3),
    "remove_rasters": (lambda dataset, ids: dataset.remove_rasters(ids, dry_run=True), 17),
    "restore_rasters": (lambda dataset, ids: dataset.restore_rasters(ids, dry_run=True), 18),
    "withdraw_rasters": (lambda dataset, ids: dataset.withdraw_rasters(ids, reason="test", dry_run=True), 17),
}


@pytest.mark.parametrize("name", WRITES)
def test_one_or_many_ids_of_any_library_are_requested(name: str, dataset: Dataset) -> None:
    call, value = WRITES[name]
    for ids in (np.int64(value), np.array([value]), pd.Series([value]), pd.Index([value]), pa.array([value])):
        assert call(dataset, ids).would_change


def test_parameters_take_numbers_of_numpy(dataset: Dataset) -> None:
    numbers: dict[str, Any] = {
        "seed": np.int64(3),
        "buffer": np.float32(1.5),
        "parts": {"train": np.float64(0.5), "test": 0.5},
    }
    assert dataset.split("s", collection="source", **numbers, dry_run=True).would_change
    arrays: dict[str, Any] = {"size": np.array([16, 16]), "bands": np.array([1])}
    assert dataset.cut_grid("g", **arrays, dry_run=True).would_change


@pytest.mark.parametrize("value", [1.5, True, None, object(), np.float64(1), b"1"])
def test_other_values_are_no_ids(value: Any, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="invalid id"):
        dataset.history(value)
