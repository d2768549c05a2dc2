"""Points in two scenes, and chips of them: what the tests of cuts begin with."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from geographer import Dataset
from tests.sample_history import point, write_features

CLUSTER = {f"p{number}": (20.3 + 2 * (number % 3), 20.6 + 2 * (number // 3)) for number in range(9)}
LONELY = {"alone": (50.5, 10.5), "corner": (1.2, 1.3), "both": (56.5, 40.5), "east": (90.5, 30.5)}
POINTS = CLUSTER | LONELY
LAKE = (30, 40, 6)
SCENES = {"a": 0, "b": 48}
"""The scenes of 64 pixels, and how many pixels east of the first each begins."""


def gather(dataset: Dataset, inputs: Path, points: dict[str, tuple[float, float]]) -> None:
    inputs.mkdir(exist_ok=True)
    path = write_features(
        inputs / f"{len(dataset.log())}.geojson", {name: ("pond", point(*where)) for name, where in points.items()}
    )
    dataset.add_features(path, crs="EPSG:32633")


def chips(dataset: Dataset, recipe: str = "around") -> list[dict]:
    """The chips of a recipe, in the order in which they were cut."""
    return [chip for chip in dataset.chips().to_pylist() if chip["raster_id"].startswith(f"{recipe}/")]


def windows(dataset: Dataset, recipe: str) -> set[tuple]:
    """Parent and window of each chip of a recipe."""
    columns = ("parent_id", "col", "row", "width", "height")
    return {tuple(chip[column] for column in columns) for chip in chips(dataset, recipe)}


def around(chip: dict) -> str:
    """The feature that a chip was cut around: their ids have no underscore."""
    return chip["raster_id"].rpartition("_")[2].partition("~")[0]


def holds(chip: dict, where: tuple[float, float], scenes: dict[str, int] = SCENES) -> bool:
    column, row = where[0] - scenes[chip["parent_id"]] - chip["col"], where[1] - chip["row"]
    return 0 < column < chip["width"] and 0 < row < chip["height"]


def counted(found: list[dict], names: Collection[str]) -> dict[str, int]:
    """How many of the chips hold each point."""
    return {name: sum(holds(chip, POINTS[name]) for chip in found) for name in names}


def window_of(array: np.ndarray, chip: dict, padding: int) -> np.ndarray:
    """The pixels that a chip must have, as if the raster went on with `padding` on all sides."""
    width = 40
    whole = np.pad(array, ((0, 0), (width, width), (width, width)), constant_values=padding)
    top, left = chip["row"] + width, chip["col"] + width
    return whole[:, top : top + chip["height"], left : left + chip["width"]]


def digests(dataset: Dataset, recipe: str = "") -> dict[str, str]:
    """The SHA-256 of every raster, or of a recipe's chips."""
    return {
        row["raster_id"]: row["sha256"] for row in dataset.rasters().to_pylist() if row["raster_id"].startswith(recipe)
    }
