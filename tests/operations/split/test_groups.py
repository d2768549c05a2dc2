"""Clusters of rasters that must stay together: as brute force finds them, and as a split sees them."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

import pytest
import shapely

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from tests.sample_history import NORTH, PIXEL, WEST, point, square, write_features
from tests.sample_rasters import pixels, write_scene

UTM = "EPSG:32633"


def scene(path: Path, column: float, row: float, side: int = 16) -> Path:
    transform = (PIXEL, 0.0, WEST + PIXEL * column, 0.0, -PIXEL, NORTH - PIXEL * row)
    return write_scene(path, pixels(1, side, side, "uint8"), transform=transform)


PLACES = {"z": (0, 0), "y": (12, 0), "x": (40, 0), "w": (60, 0), "v": (200, 0), "u": (224, 0)}
"""Scenes 16 pixels wide: z and y overlap, x and w share a feature, u lies 8 pixels (80 m) from v."""
BRIDGE = ("bridge", square(50, 4, 12))


@pytest.fixture(scope="module")
def template(empty_dataset, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clusters")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    dataset.add_rasters([scene(folder / f"{name}.tif", *place) for name, place in PLACES.items()])
    features = {"long": BRIDGE, "here": ("pond", point(14, 5)), "alone": ("pond", point(205, 5))}
    dataset.add_features(write_features(folder / "features.geojson", features), crs=UTM)
    return dataset.root


@pytest.fixture
def dataset(template) -> Dataset:
    return Dataset.open(template)


def groups(dataset: Dataset, **how) -> list[set[str]]:
    """The clusters in the order of their numbers, which begin at 0 and leave none out."""
    rows = dataset.components(**how).to_pylist()
    assert [row["raster_id"] for row in rows] == sorted(PLACES)
    count = max(row["component"] for row in rows) + 1
    found = [{row["raster_id"] for row in rows if row["component"] == number} for number in range(count)]
    assert found == sorted(found, key=min)
    return found


def test_rasters_that_share_an_object_or_pixels_are_together(dataset):
    assert groups(dataset) == [{"u"}, {"v"}, {"w", "x"}, {"y", "z"}]


def test_by_object_those_that_share_pixels_only_are_apart(dataset):
    assert groups(dataset, by="object") == [{"u"}, {"v"}, {"w", "x"}, {"y", "z"}]
    assert groups(dataset, by="object", where="class = 'bridge'") == [{"u"}, {"v"}, {"w", "x"}, {"y"}, {"z"}]
    assert groups(dataset, by="overlap", where="class = 'none'") == [{"u"}, {"v"}, {"w"}, {"x"}, {"y", "z"}]


def test_what_lies_within_the_buffer_is_together(dataset):
    by_buffer = {0: {"u"}, 79: {"u"}, 81: {"u", "v"}}
    for buffer, expected in by_buffer.items():
        assert expected in groups(dataset, buffer=buffer), buffer


@pytest.mark.parametrize("buffer", [0.0, 85.0, 130.0])
def test_clusters_are_those_that_brute_force_finds(dataset, buffer):
    boxes = {name: shapely.box(10 * c, 10 * r, 10 * c + 160, 10 * r + 160) for name, (c, r) in PLACES.items()}
    shown: dict[str, set[str]] = {name: set() for name in PLACES}
    for edge in dataset.edges().to_pylist():
        shown[edge["raster_id"]].add(edge["feature_id"])
    together = {name: {name} for name in PLACES}
    for a, b in combinations(PLACES, 2):
        # Metres of the grid and on the ground differ by less than 0.1 %.
        near = buffer > 0 and boxes[a].distance(boxes[b]) < buffer
        if shown[a] & shown[b] or boxes[a].intersection(boxes[b]).area > 0 or near:
            joined = together[a] | together[b]
            for name in joined:
                together[name] = joined
    assert groups(dataset, buffer=buffer) == sorted({frozenset(one) for one in together.values()}, key=min)


def test_a_split_parts_no_cluster_and_counts_them(dataset, tmp_path):
    copy = Dataset.open(shutil.copytree(dataset.root, tmp_path / "copy"))
    how = {"by": "overlap", "buffer": 85.0}
    recorded = copy.split("parts", collection="source", parts={"train": 0.5, "test": 0.5}, **how)
    found = groups(copy, **how)
    assert recorded.summary["components"] == len(found) == 3
    part = {row["raster_id"]: row["part"] for row in copy.splits().to_pylist()}
    assert all(len({part[name] for name in cluster}) == 1 for cluster in found)


def test_clusters_are_those_of_the_revision(dataset, tmp_path):
    copy = Dataset.open(shutil.copytree(dataset.root, tmp_path / "copy"))
    copy.remove_features(["long"])
    assert {"w", "x"} not in groups(copy)
    assert {"w", "x"} in groups(copy, at="HEAD~1")


def test_what_can_not_be_is_refused(dataset):
    with pytest.raises(NotFoundError, match="no collection 'chips': there are source"):
        dataset.components("chips")
    with pytest.raises(UsageError, match="a buffer of -1 metres means nothing"):
        dataset.components(buffer=-1)
    with pytest.raises(NotFoundError, match="depht"):
        dataset.components(where="depht > 1")
    with pytest.raises(UsageError, match="can't be evaluated"):
        dataset.components(where="class::INTEGER = 1")
