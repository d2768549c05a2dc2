"""Find leakage between the parts of splits from bounds and geometries, with shapely, not from the dataset's graph."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import shapely

from tests.merging.ground import SCENES, Box
from tests.merging.model import Columns, Tables


def find_leaks(declared: Tables, derived: Tables, split: str) -> list[tuple[str, str]]:
    """Find pairs of rasters in different parts that show the same feature, or, if that counts, the same ground."""
    recipe = declared["recipe"][split]
    grounds = list_assigned(declared, derived, split)
    links = find_links(declared, recipe, grounds)
    parts = {key[1]: row["part"] for key, row in derived["split"].items() if key[0] == split}
    return [(a, b) for a, b in links if parts[a] != parts[b]]


def list_assigned(declared: Tables, derived: Tables, split: str) -> dict[str, shapely.Polygon]:
    """Return the ground of each raster of the split's collection that has a part."""
    del declared
    assigned = {raster: row["part"] for (name, raster), row in derived["split"].items() if name == split}
    return {name: make_ground(chip) for name, chip in derived["chip"].items() if assigned.get(name) is not None}


def make_ground(chip: Columns) -> shapely.Polygon:
    """Return the ground of a chip from its window and the place of its parent."""
    column, row = SCENES[chip["parent"]]
    return Box(column + chip["col"], row + chip["row"], chip["width"], chip["height"]).make_polygon()


def find_links(declared: Tables, recipe: Columns, grounds: dict[str, Any]) -> list[tuple[str, str]]:
    """Find the pairs of rasters that must be in one part."""
    features = [shapely.from_wkb(bytes.fromhex(row["geometry"][0])) for row in declared["feature"].values()]
    shown = {
        name: {number for number, feature in enumerate(features) if shapely.intersects(ground, feature)}
        for name, ground in grounds.items()
    }
    by_overlap = recipe["by"] == "overlap"
    return [
        (a, b)
        for a, b in combinations(sorted(grounds), 2)
        if shown[a] & shown[b] or (by_overlap and shapely.area(shapely.intersection(grounds[a], grounds[b])) > 0)
    ]
