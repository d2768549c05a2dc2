"""A dataset for the tests that must not change it, and tables to add."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import pyarrow as pa
import pytest
import shapely

from geographer import Dataset


def table(columns: dict[str, Any]) -> pa.Table:
    """An Arrow table of points in longitude/latitude with columns that geopandas would change."""
    count = len(next(iter(columns.values())))
    bare = geopandas.GeoDataFrame(geometry=[shapely.Point(i % 180, i % 90) for i in range(count)], crs="EPSG:4326")
    made = pa.table(bare.to_arrow(index=False))
    for name, values in columns.items():
        made = made.append_column(name, values if isinstance(values, pa.Array) else pa.array(values))
    return made


@pytest.fixture(scope="package")
def one_for_all(tmp_path_factory: pytest.TempPathFactory, empty_dataset: Path) -> Dataset:
    """A dataset with the features a and b and their column n."""
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path_factory.mktemp("shared") / "dataset"))
    dataset.add_features(table({"id": ["a", "b"], "n": [1, 2]}))
    return dataset


@pytest.fixture
def unmoved(one_for_all: Dataset) -> Iterator[Dataset]:
    """That dataset, whose head must stand afterwards where it stood, with no file of a raster beside it."""
    head = one_for_all.show().digest
    yield one_for_all
    assert one_for_all.show().digest == head
    assert not list((one_for_all.root / "rasters").rglob("*.*"))
