"""A dataset to train on: chips of a scene with nodata and scaled bands, all kinds of labels, a split, a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from geographer import Dataset
from tests.sample_history import NORTH, PIXEL, WEST, square_geometry, write_features
from tests.sample_rasters import write_scene

SIDE, SIZE, BANDS, NODATA, IGNORE = 64, 16, 3, 9, 255
SCALES, OFFSETS = (0.5, 0.25, 2.0), (1.0, 0.0, -3.0)
NAMES = ("blue", "green", "nir")
CLASSES = {"pond": 1, "quarry": 2, "wood": 3}
OBJECTS = {
    "pond": ("pond", (4, 4, 20)),
    "quarry": ("quarry", (34, 6, 12)),
    "small": ("quarry", (37, 37, 4)),
    "wood": ("wood", (6, 34, 22)),
    "island": ("wood", (12, 12, 4)),
}
"""By id: class, and the column, row and side of a square, in pixels."""


class TrainingFolders(NamedTuple):
    """The folder of the dataset, a checkout of its tag v1, and the opened dataset."""

    root: Path
    checkout: Path
    dataset: Dataset


def make_scene() -> np.ndarray:
    """Return uint16 pixels, shape (bands, rows, columns): brighter where an object is, with a corner of nodata."""
    rng = np.random.Generator(np.random.PCG64(3))
    pixels = rng.integers(20, 40, (BANDS, SIDE, SIDE)).astype(np.uint16)
    for class_name, (column, row, side) in OBJECTS.values():
        pixels[CLASSES[class_name] - 1, row : row + side, column : column + side] += 100
    pixels[:, :8, 50:] = NODATA
    pixels[1, 20, 20] = NODATA
    return pixels


def create_training_dataset(folder: Path) -> None:
    """Fill a folder with `dataset` and `v1`; see `locate_training_dataset`."""
    dataset = Dataset.init(folder / "dataset", classes=[*CLASSES], scm=False)
    objects = {name: (kind, square_geometry(*square)) for name, (kind, square) in OBJECTS.items()}
    dataset.add_features(write_features(folder / "objects.geojson", objects), crs="EPSG:32633")
    scene = write_scene(
        folder / "scene.tif",
        make_scene(),
        transform=(PIXEL, 0, WEST, 0, -PIXEL, NORTH),
        nodata=NODATA,
    )
    _describe_bands(scene)
    dataset.add_rasters(scene)
    dataset.cut_grid("chips", size=SIZE)
    dataset.cut_around_features("around", size=SIZE)
    dataset.label_masks("mask", collection="chips", ignore=IGNORE)
    dataset.label_instances("instances", collection="chips")
    dataset.label_multilabel("classes", collection="chips")
    dataset.label_boxes("boxes", collection="chips")
    dataset.label_probabilities("soft", collection="chips")
    dataset.split("split", collection="chips", parts={"train": 0.5, "val": 0.25, "test": 0.25}, by="object")
    dataset.tag("v1")
    dataset.checkout("v1", to=folder / "v1")


def _describe_bands(path: Path) -> None:
    import rasterio

    with rasterio.open(path, "r+") as raster:
        raster.descriptions, raster.scales, raster.offsets = NAMES, SCALES, OFFSETS
        raster.update_tags(TIFFTAG_DATETIME="2024:06:01 10:30:00")


def locate_training_dataset(folder: Path) -> TrainingFolders:
    """Return the folders that `create_training_dataset` filled."""
    return TrainingFolders(folder / "dataset", folder / "v1", Dataset.open(folder / "dataset"))
