"""Check chips, masks and splits of a dataset from its files and the model's features, with numpy and shapely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely

from tests.merging.ground import GRID_SIZE, NORTH, PIXEL, SCENE_SIZE, SCENES, WEST
from tests.merging.leaks import find_leaks, make_ground
from tests.merging.model import Commit
from tests.merging.steps import require_equal


def check_content(commit: Commit, root: Path) -> None:
    """Check chips, masks and splits of a dataset that is up to date, from its files and the model's features."""
    for name in commit.declared["recipe"]:
        if commit.declared["recipe"][name]["kind"] == "split":
            require_equal(f"leaks of {name}", [], find_leaks(commit.declared, commit.derived, name))
    check_grid(commit)
    check_around(commit)
    check_masks(commit, root)


def check_grid(commit: Commit) -> None:
    """Check the chips of the grid, unless it has other parameters than the first, or chips were removed."""
    recipe = commit.declared["recipe"].get("grid")
    removed = {name for name in commit.declared["removal"] if name.startswith("grid/")}
    if recipe is None or recipe["cells"] != "all" or removed:
        return
    steps = range(0, SCENE_SIZE, GRID_SIZE)
    expected = {(raster, column, row) for raster in commit.declared["raster"] for column in steps for row in steps}
    chips = commit.derived["chip"].values()
    actual = {(chip["parent"], chip["col"], chip["row"]) for chip in chips if chip["recipe"] == "grid"}
    require_equal("cells of the grid", expected, actual)


def check_around(commit: Commit) -> None:
    """Check that each feature that a scene shows completely is in a chip, unless chips were removed."""
    if "around" not in commit.declared["recipe"] or any(n.startswith("around/") for n in commit.declared["removal"]):
        return
    chips = [make_ground(chip) for chip in commit.derived["chip"].values() if chip["recipe"] == "around"]
    scenes = [make_ground(make_whole(name)) for name in commit.declared["raster"]]
    for name, row in commit.declared["feature"].items():
        feature = shapely.from_wkb(bytes.fromhex(row["geometry"][0]))
        is_shown = any(shapely.covers(scene, feature) for scene in scenes)
        is_cut = any(shapely.covers(chip, feature) for chip in chips)
        require_equal(f"feature {name} is in a chip", is_shown, is_cut)


def make_whole(name: str) -> dict[str, Any]:
    """Return the window of a whole scene."""
    return {"parent": name, "col": 0, "row": 0, "width": SCENE_SIZE, "height": SCENE_SIZE}


def check_masks(commit: Commit, root: Path) -> None:
    """Compare each mask with the features' boxes: a class with a larger value is on top."""
    recipe = commit.declared["recipe"].get("mask")
    if recipe is None or recipe["all_touched"]:
        return
    chips = {name for name, chip in commit.derived["chip"].items() if chip["recipe"] == "around"}
    masks = {key[1] for key in commit.derived["label"] if key[0] == "mask"}
    require_equal("chips with masks", chips, masks)
    for name in chips:
        with rasterio.open(root / "labels/mask" / f"{name}.tif") as file:
            pixels = file.read(1)
        require_equal(f"mask of {name}", draw_mask(commit, name).tolist(), pixels.tolist())


def draw_mask(commit: Commit, chip: str) -> np.ndarray:
    """Draw the class values of the features on a chip, shape (rows, columns)."""
    window = commit.derived["chip"][chip]
    left, top = SCENES[window["parent"]]
    left, top = left + window["col"], top + window["row"]
    mask = np.zeros((window["height"], window["width"]), int)
    values = {name: row["value"] for name, row in commit.declared["class"].items()}
    for row in sorted(commit.declared["feature"].values(), key=lambda row: values[row["class"]]):
        west, south, east, north = shapely.from_wkb(bytes.fromhex(row["geometry"][0])).bounds
        columns, rows = (np.array([west, east]) - WEST) / PIXEL - left, (NORTH - np.array([north, south])) / PIXEL - top
        (x0, x1), (y0, y1) = (np.clip(side.astype(int), 0, None) for side in (columns, rows))
        mask[y0:y1, x0:x1] = values[row["class"]]
    return mask
