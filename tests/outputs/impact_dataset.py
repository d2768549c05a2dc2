"""A small dataset with a split whose chips, pixels, labels, parts and class values change between its tags v1 to v4."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from geographer import Dataset
from tests.sample_history import PIXEL, WEST, square_geometry, write_features
from tests.sample_rasters import make_pixels, write_scene

NORTH = 5_200_000.0
IGNORE = 255
SCENE_SIZE = 128
REMOVED = "chips/a_f12"
"""A chip of the subset test at v1."""
PARTS = {"train": 0.5, "test": 0.5}


def write_impact_scene(folder: Path, name: str, offset: int, seed: int) -> Path:
    """Write a scene of 128 x 128 pixels with two bands and some nodata, `offset` pixels east of the first."""
    pixels = make_pixels(2, SCENE_SIZE, SCENE_SIZE, "uint8", seed=seed)
    pixels[:, ::8, ::3] = 0
    pixels[1, 5, :] = 0
    transform = (PIXEL, 0.0, WEST + PIXEL * offset, 0.0, -PIXEL, NORTH)
    folder.mkdir(parents=True, exist_ok=True)
    return write_scene(folder / f"{name}.tif", pixels, transform=transform, nodata=0)


def make_features(columns: range, rows: range) -> dict[str, tuple[str, dict]]:
    """Return squares of 6 pixels, 32 pixels apart, whose class alternates."""
    return {
        f"f{column}{row}": (("pond", "quarry")[(column + row) % 2], square_geometry(32 * column + 12, 32 * row + 12, 6))
        for column in columns
        for row in rows
    }


def create_impact_dataset(folder: Path) -> Dataset:
    """Create the dataset: v1; v2 with other chips, pixels and labels; v3 with another split; v4 with two classes swapped.

    The head has a second split.
    """
    dataset = Dataset.init(folder / "ponds", classes=["pond", "quarry"], scm=False)
    dataset.add_features(write_features(folder / "first.geojson", make_features(range(6), range(3))), crs="EPSG:32633")
    scenes = [write_impact_scene(folder / "scenes", name, offset, 1) for name, offset in (("a", 0), ("b", SCENE_SIZE))]
    dataset.add_rasters(scenes)
    dataset.cut_around_features("chips", size=16)
    dataset.label_masks("mask", collection="chips", ignore=IGNORE)
    dataset.label_boxes("boxes", collection="chips")
    dataset.split("parts", collection="chips", parts=PARTS, seed=1)
    dataset.tag("v1")
    dataset.remove_rasters([REMOVED])
    later = {"small": ("quarry", square_geometry(64 + 9, 9, 2)), **make_features(range(2), range(3, 4))}
    dataset.add_features(write_features(folder / "later.geojson", later), crs="EPSG:32633")
    dataset.add_rasters([write_impact_scene(folder / "again", "b", SCENE_SIZE, 5)], replace=True)
    dataset.update()
    dataset.tag("v2")
    dataset.remove_recipe("parts")
    dataset.split("parts", collection="chips", parts=PARTS, seed=2)
    dataset.tag("v3")
    dataset.remap_classes({"pond": "quarry", "quarry": "pond"})
    dataset.tag("v4")
    dataset.split("other", collection="chips", parts={"train": 0.5, "val": 0.5})
    return dataset


@cache
def list_subset(dataset: Dataset, at: str, part: str = "test") -> set[str]:
    rows = dataset.splits(at=at).to_pylist()
    return {row["raster_id"] for row in rows if (row["split"], row["part"]) == ("parts", part)}


@cache
def read_mask(dataset: Dataset, raster_id: str, at: str) -> np.ndarray:
    label = dataset.open_label("mask", raster_id, at=at)
    assert not isinstance(label, dict)
    with label:
        return label.read(1)


def write_predictions(dataset: Dataset, folder: Path, *revisions: str) -> Path:
    """Write a prediction for each chip of the subset at the revisions: its mask there, one pixel to the right."""
    for at in revisions:
        for raster_id in list_subset(dataset, at):
            write_prediction(folder, raster_id, np.roll(read_mask(dataset, raster_id, at), 1, axis=1))
    return folder


def write_prediction(folder: Path, raster_id: str, values: np.ndarray) -> Path:
    path = folder / f"{raster_id}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)
    return path
