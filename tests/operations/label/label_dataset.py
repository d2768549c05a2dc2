"""A scene in 16 chips with objects of three classes, to label in every way; and a label maker of one's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from geographer import Dataset
from geographer.base.values import Grid
from geographer.operations.label.rendering.custom import LabelObject
from tests.sample_history import place, point, square, write_scenes

Given = dict[str, tuple[str | None, dict[str, Any], dict[str, Any]]]

OBJECTS: Given = {
    "old quarry": (
        "quarry",
        square(10, 10, 24),
        {"depth": 9.0, "prob_of_class_quarry": 0.75, "prob_of_class_pond": 0.25},
    ),
    "pond": ("pond", square(4, 4, 20), {"depth": 2.0}),
    "island": ("land", square(14, 14, 4), {}),
    "far pond": ("pond", square(40, 44, 9), {"depth": 3.0, "prob_of_class_pond": 0.5}),
    "well": ("quarry", point(50.5, 10.5), {"depth": 30.0}),
    "puddle": ("pond", square(30.6, 50.1, 0.3), {"depth": 0.1}),
    "stream": ("pond", {"type": "LineString", "coordinates": [place(0.5, 60.5), place(63.5, 40.5)]}, {"depth": 0.5}),
}
LATER: Given = {
    "lake": ("pond", square(20, 2, 30), {"depth": 5.0, "prob_of_class_track": 0.5}),
    "new quarry": ("quarry", square(41, 45, 4), {"depth": 8.0}),
    "dune": ("land", square(21, 3, 6), {}),
    "lane": ("track", {"type": "LineString", "coordinates": [place(60.5, 0.5), place(2.5, 62.5)]}, {}),
}


def gather(dataset: Dataset, path: Path, objects: Given) -> None:
    members = [
        {"type": "Feature", "properties": {"id": name, "class": kind, **own}, "geometry": geometry}
        for name, (kind, geometry, own) in objects.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    dataset.add_features(path, crs="EPSG:32633")


def begin(folder: Path) -> Dataset:
    dataset = Dataset.init(folder / "dataset", classes=["pond", "quarry"], background="land", scm=False)
    gather(dataset, folder / "first.geojson", OBJECTS)
    dataset.add_rasters(write_scenes(folder / "scenes", "a"))
    dataset.cut_grid("grid", size=16)
    return dataset


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as label:
        return label.read()


def mosaic(dataset: Dataset, label: str) -> np.ndarray:
    """The labels of the chips of scene a where they lie in it; shape (bands, rows, columns)."""
    paths = {row["raster_id"]: row["path"] for row in dataset.labels(where=f"label = '{label}'").to_pylist()}
    found = None
    for chip in dataset.chips(where="parent_id = 'a'").to_pylist():
        part = read(dataset.root / paths[chip["raster_id"]])
        found = np.zeros((len(part), 64, 64), part.dtype) if found is None else found
        found[:, chip["row"] : chip["row"] + 16, chip["col"] : chip["col"] + 16] = part
    assert found is not None
    return found


class Counted:
    """A label maker: how many objects touch a pixel's place, and the depths that they have there in all."""

    version = "1"
    bands = ("count", "depth")

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def draw(self, objects: Sequence[LabelObject], grid: Grid) -> np.ndarray:
        found = np.zeros((2, grid.height, grid.width), np.float32)
        for one in objects:
            x0, y0, x1, y1 = (round(bound) for bound in one.geometry.bounds)
            found[0, max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] += 1
            found[1, max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] += (
                one.properties.get("depth") or 0
            ) * self.scale
        return found


class Flat(Counted):
    """One that draws what is no label."""

    def draw(self, objects: Sequence[LabelObject], grid: Grid) -> np.ndarray:
        return np.zeros((3, 2))


class Unversioned:
    def draw(self, objects: Sequence[LabelObject], grid: Grid) -> np.ndarray:
        return np.zeros((grid.height, grid.width), np.uint8)
