"""Components of rasters, against brute force and as a split uses them."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import shapely

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from tests.sample_history import NORTH, PIXEL, WEST, point_geometry, square_geometry, write_features
from tests.sample_rasters import make_pixels, write_scene

UTM = "EPSG:32633"


def write_raster(path: Path, column: float, row: float, side: int = 16) -> Path:
    transform = (PIXEL, 0.0, WEST + PIXEL * column, 0.0, -PIXEL, NORTH - PIXEL * row)
    return write_scene(path, make_pixels(1, side, side, "uint8"), transform=transform)


POSITIONS = {"z": (0, 0), "y": (12, 0), "x": (40, 0), "w": (60, 0), "v": (200, 0), "u": (224, 0)}
"""Scenes 16 pixels wide: z and y overlap, x and w share a feature, u is 8 pixels (80 m) from v."""
BRIDGE = ("bridge", square_geometry(50, 4, 12))


@pytest.fixture(scope="module")
def template(empty_dataset, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("components")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    dataset.add_rasters([write_raster(folder / f"{name}.tif", *position) for name, position in POSITIONS.items()])
    features = {"long": BRIDGE, "here": ("pond", point_geometry(14, 5)), "alone": ("pond", point_geometry(205, 5))}
    dataset.add_features(write_features(folder / "features.geojson", features), crs=UTM)
    return dataset.root


@pytest.fixture
def dataset(template) -> Dataset:
    return Dataset.open(template)


def list_components(dataset: Dataset, **options) -> list[set[str]]:
    """The components in order of their numbers, which are consecutive from 0."""
    rows = dataset.components(**options).to_pylist()
    assert [row["raster_id"] for row in rows] == sorted(POSITIONS)
    count = max(row["component"] for row in rows) + 1
    components = [{row["raster_id"] for row in rows if row["component"] == number} for number in range(count)]
    assert components == sorted(components, key=min)
    return components


def test_components_share_features_or_pixels(dataset):
    assert list_components(dataset) == [{"u"}, {"v"}, {"w", "x"}, {"y", "z"}]


def test_components_by_object_ignore_pixels(dataset):
    assert list_components(dataset, by="object") == [{"u"}, {"v"}, {"w", "x"}, {"y", "z"}]
    assert list_components(dataset, by="object", where="class = 'bridge'") == [{"u"}, {"v"}, {"w", "x"}, {"y"}, {"z"}]
    assert list_components(dataset, by="overlap", where="class = 'none'") == [{"u"}, {"v"}, {"w"}, {"x"}, {"y", "z"}]


def test_components_connect_within_buffer(dataset):
    by_buffer = {0: {"u"}, 79: {"u"}, 81: {"u", "v"}}
    for buffer, expected in by_buffer.items():
        assert expected in list_components(dataset, buffer=buffer), buffer


@pytest.mark.parametrize("buffer", [0.0, 85.0, 130.0])
def test_components_equal_brute_force(dataset, buffer):
    boxes = {name: shapely.box(10 * c, 10 * r, 10 * c + 160, 10 * r + 160) for name, (c, r) in POSITIONS.items()}
    features_of: dict[str, set[str]] = {name: set() for name in POSITIONS}
    for edge in dataset.edges().to_pylist():
        features_of[edge["raster_id"]].add(edge["feature_id"])
    component_of = {name: {name} for name in POSITIONS}
    for a, b in combinations(POSITIONS, 2):
        # Metres of the grid and on the ground differ by less than 0.1 %.
        near = buffer > 0 and boxes[a].distance(boxes[b]) < buffer
        if features_of[a] & features_of[b] or boxes[a].intersection(boxes[b]).area > 0 or near:
            merged = component_of[a] | component_of[b]
            for name in merged:
                component_of[name] = merged
    assert list_components(dataset, buffer=buffer) == sorted(
        {frozenset(component) for component in component_of.values()}, key=min
    )


def test_split_divides_no_component(dataset, tmp_path):
    copy = Dataset.open(shutil.copytree(dataset.root, tmp_path / "copy"))
    options: dict[str, Any] = {"by": "overlap", "buffer": 85.0}
    result = copy.split("parts", collection="source", parts={"train": 0.5, "test": 0.5}, **options)
    components = list_components(copy, **options)
    assert result.summary["components"] == len(components) == 3
    part = {row["raster_id"]: row["part"] for row in copy.splits().to_pylist()}
    assert all(len({part[name] for name in component}) == 1 for component in components)


def test_components_of_revision(dataset, tmp_path):
    copy = Dataset.open(shutil.copytree(dataset.root, tmp_path / "copy"))
    copy.remove_features(["long"])
    assert {"w", "x"} not in list_components(copy)
    assert {"w", "x"} in list_components(copy, at="HEAD~1")


def test_components_reject_invalid_arguments(dataset):
    with pytest.raises(NotFoundError, match=r"no collection 'chips'\. The collections are: source"):
        dataset.components("chips")
    with pytest.raises(UsageError, match="invalid buffer -1"):
        dataset.components(buffer=-1)
    with pytest.raises(NotFoundError, match="depht"):
        dataset.components(where="depht > 1")
    with pytest.raises(UsageError, match="cannot evaluate"):
        dataset.components(where="class::INTEGER = 1")
