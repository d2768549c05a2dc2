"""A scene in 16 chips with features of three classes to label, and label makers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from geographer import Dataset
from geographer.base.values import Grid
from geographer.operations.label.rendering.custom import LabelObject
from tests.sample_history import grid_coordinates, point_geometry, square_geometry, write_scenes

Features = Mapping[Any, tuple[str, dict[str, Any], dict[str, Any]]]
"""By id: class, GeoJSON geometry, user columns."""

FEATURES: Features = {
    "old quarry": (
        "quarry",
        square_geometry(10, 10, 24),
        {"depth": 9.0, "prob_of_class_quarry": 0.75, "prob_of_class_pond": 0.25},
    ),
    "pond": ("pond", square_geometry(4, 4, 20), {"depth": 2.0}),
    "island": ("land", square_geometry(14, 14, 4), {}),
    "far pond": ("pond", square_geometry(40, 44, 9), {"depth": 3.0, "prob_of_class_pond": 0.5}),
    "well": ("quarry", point_geometry(50.5, 10.5), {"depth": 30.0}),
    "puddle": ("pond", square_geometry(30.6, 50.1, 0.3), {"depth": 0.1}),
    "stream": (
        "pond",
        {"type": "LineString", "coordinates": [grid_coordinates(0.5, 60.5), grid_coordinates(63.5, 40.5)]},
        {"depth": 0.5},
    ),
}
LATER_FEATURES: Features = {
    "lake": ("pond", square_geometry(20, 2, 30), {"depth": 5.0, "prob_of_class_track": 0.5}),
    "new quarry": ("quarry", square_geometry(41, 45, 4), {"depth": 8.0}),
    "dune": ("land", square_geometry(21, 3, 6), {}),
    "lane": (
        "track",
        {"type": "LineString", "coordinates": [grid_coordinates(60.5, 0.5), grid_coordinates(2.5, 62.5)]},
        {},
    ),
}


def add_features(dataset: Dataset, path: Path, features: Features, **options: Any) -> None:
    members = [
        {"type": "Feature", "properties": {"id": name, "class": class_name, **properties}, "geometry": geometry}
        for name, (class_name, geometry, properties) in features.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    dataset.add_features(path, crs="EPSG:32633", **options)


def create_dataset(folder: Path) -> Dataset:
    dataset = Dataset.init(folder / "dataset", classes=["pond", "quarry"], background="land", scm=False)
    add_features(dataset, folder / "first.geojson", FEATURES)
    dataset.add_rasters(write_scenes(folder / "scenes", "a"))
    dataset.cut_grid("grid", size=16)
    return dataset


def read_pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as label:
        return label.read()


def read_mosaic(dataset: Dataset, label: str) -> np.ndarray:
    """The labels of the chips of scene `a`, put together; shape (bands, rows, columns)."""
    paths = {row["raster_id"]: row["path"] for row in dataset.labels(where=f"label = '{label}'").to_pylist()}
    pixels = None
    for chip in dataset.chips(where="parent_id = 'a'").to_pylist():
        part = read_pixels(dataset.root / paths[chip["raster_id"]])
        pixels = np.zeros((len(part), 64, 64), part.dtype) if pixels is None else pixels
        pixels[:, chip["row"] : chip["row"] + 16, chip["col"] : chip["col"] + 16] = part
    assert pixels is not None
    return pixels


class CountingMaker:
    """Draws the number of objects whose bounds cover each pixel, and the sum of their depths."""

    version = "1"
    bands = ("count", "depth")

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def draw(self, objects: Sequence[LabelObject], grid: Grid) -> np.ndarray:
        pixels = np.zeros((2, grid.height, grid.width), np.float32)
        for item in objects:
            x0, y0, x1, y1 = (round(bound) for bound in item.geometry.bounds)
            pixels[0, max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] += 1
            pixels[1, max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] += (
                item.properties.get("depth") or 0
            ) * self.scale
        return pixels


class InvalidMaker(CountingMaker):
    """Draws an array of the wrong shape."""

    def draw(self, objects: Sequence[LabelObject], grid: Grid) -> np.ndarray:
        return np.zeros((3, 2))


class UnversionedMaker:
    def draw(self, objects: Sequence[LabelObject], grid: Grid) -> np.ndarray:
        return np.zeros((grid.height, grid.width), np.uint8)


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "mask": ("label_masks", {}),
    "by-size": ("label_masks", {"overlap": "smallest-on-top", "ignore": 255, "ignore_where": "depth > 8.5"}),
    "wide": ("label_masks", {"overlap": "newest", "width": "45m", "all_touched": True}),
    "soft": ("label_probabilities", {"background_band": True, "width": 3}),
    "things": ("label_instances", {"width": "2px"}),
    "multi": ("label_multilabel", {}),
    "boxes": ("label_boxes", {"min_visible": 0.25}),
    "own": ("label_custom", {"maker": CountingMaker, "options": {"scale": 2.5}}),
}
"""Labels of every kind: the method that makes each, and its options."""
