"""Points in two scenes, and helpers that read the chips cut from them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from geographer import Dataset
from tests.sample_history import point_geometry, write_features

CLUSTER = {f"p{number}": (20.3 + 2 * (number % 3), 20.6 + 2 * (number // 3)) for number in range(9)}
ISOLATED = {"alone": (50.5, 10.5), "corner": (1.2, 1.3), "both": (56.5, 40.5), "east": (90.5, 30.5)}
POINTS = CLUSTER | ISOLATED
LAKE = (30, 40, 6)
SCENE_OFFSETS = {"a": 0, "b": 48}
"""Scenes of 64 x 64 pixels, and the offset of each from the first, in pixels to the east."""


def add_points(dataset: Dataset, inputs: Path, points: dict[str, tuple[float, float]]) -> None:
    inputs.mkdir(exist_ok=True)
    path = write_features(
        inputs / f"{len(dataset.log())}.geojson",
        {name: ("pond", point_geometry(*position)) for name, position in points.items()},
    )
    dataset.add_features(path, crs="EPSG:32633")


def list_chips(dataset: Dataset, recipe: str = "around") -> list[dict]:
    """Return the chips of a recipe in the order in which they were cut."""
    return [chip for chip in dataset.chips().to_pylist() if chip["raster_id"].startswith(f"{recipe}/")]


def list_windows(dataset: Dataset, recipe: str) -> set[tuple]:
    """Return parent and window of each chip of a recipe."""
    columns = ("parent_id", "col", "row", "width", "height")
    return {tuple(chip[column] for column in columns) for chip in list_chips(dataset, recipe)}


def get_feature_id(chip: dict) -> str:
    """Return the feature that a chip was cut around, from its name; these feature ids have no underscore."""
    return chip["raster_id"].rpartition("_")[2].partition("~")[0]


def contains_point(chip: dict, position: tuple[float, float], offsets: dict[str, int] = SCENE_OFFSETS) -> bool:
    column, row = position[0] - offsets[chip["parent_id"]] - chip["col"], position[1] - chip["row"]
    return 0 < column < chip["width"] and 0 < row < chip["height"]


def count_containing_chips(chips: list[dict], names: Collection[str]) -> dict[str, int]:
    """Count the chips that contain each point."""
    return {name: sum(contains_point(chip, POINTS[name]) for chip in chips) for name in names}


def crop_window(array: np.ndarray, chip: dict, padding: int) -> np.ndarray:
    """Return the expected pixels of a chip, with `padding` outside the array."""
    width = 40
    padded = np.pad(array, ((0, 0), (width, width), (width, width)), constant_values=padding)
    top, left = chip["row"] + width, chip["col"] + width
    return padded[:, top : top + chip["height"], left : left + chip["width"]]


def list_checksums(dataset: Dataset, recipe: str = "") -> dict[str, str]:
    """Return the SHA-256 of every raster, or of a recipe's chips."""
    return {
        row["raster_id"]: row["sha256"] for row in dataset.rasters().to_pylist() if row["raster_id"].startswith(recipe)
    }
