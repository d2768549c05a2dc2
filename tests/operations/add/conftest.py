"""A shared dataset for tests that must not change it, and tables to add."""

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


def make_table(columns: dict[str, Any]) -> pa.Table:
    """Make an Arrow table of points in degrees, with column types that geopandas would change."""
    count = len(next(iter(columns.values())))
    points = geopandas.GeoDataFrame(geometry=[shapely.Point(i % 180, i % 90) for i in range(count)], crs="EPSG:4326")
    table = pa.table(points.to_arrow(index=False))
    for name, values in columns.items():
        table = table.append_column(name, values if isinstance(values, pa.Array) else pa.array(values))
    return table


@pytest.fixture(scope="package")
def shared_dataset(tmp_path_factory: pytest.TempPathFactory, empty_dataset: Path) -> Dataset:
    """A dataset with the features a and b and the user column n."""
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path_factory.mktemp("shared") / "dataset"))
    dataset.add_features(make_table({"id": ["a", "b"], "n": [1, 2]}))
    return dataset


@pytest.fixture
def unchanged_dataset(shared_dataset: Dataset) -> Iterator[Dataset]:
    """The shared dataset; the test must not move its head or add raster files."""
    head = shared_dataset.show().digest
    yield shared_dataset
    assert shared_dataset.show().digest == head
    assert not list((shared_dataset.root / "rasters").rglob("*.*"))
