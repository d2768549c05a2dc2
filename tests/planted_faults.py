"""Plant faults of stated sizes among thousands of honest changes, from a seed; the flags of a difference must find them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import geopandas
import numpy as np
import shapely

from geographer import Dataset
from tests.sample_rasters import make_pixels, write_scene

PIXEL = 10.0
WEST, NORTH = 500_000.0, 5_200_000.0
CLASSES = ("building", "pond", "field")


class Planted(NamedTuple):
    """The revisions to compare, and the id of the object of each fault, by fault."""

    old: str
    new: str
    faults: dict[str, str]


def plant_faults(root: Path, seed: int, honest: int = 10_000, faults: int = 30) -> Planted:
    """Create a dataset with labels and a split, change `honest` features a little, and `faults` objects wrongly.

    Honest changes: sub-pixel corrections of outlines (0.15 pixels), vertices added, attributes, additions, removals, and
    a class that is renamed for a fifth of the features. Faults: moves of 1.5 to 3 pixels, outlines shrunk or cut to an
    IoU of 0.7 to 0.9, single classes flipped, features changed after the labels were made, outlines split in two.
    """
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(honest * 1.1)))
    features = _make_features(rng, side)
    dataset = Dataset.init(root / "dataset", scm=False)
    inputs = root / "inputs"
    inputs.mkdir(parents=True)
    size = side * 24
    scene = write_scene(
        inputs / "scene.tif",
        make_pixels(1, size, size, "uint8", seed=seed),
        transform=(PIXEL, 0.0, WEST, 0.0, -PIXEL, NORTH),
    )
    dataset.add_features(_write(features, inputs / "old.parquet"), id="id", class_="class")
    dataset.add_rasters([scene])
    dataset.cut_grid("chips", size=(256, 256))
    dataset.label_masks("mask", collection="chips")
    dataset.split(
        "split", collection="chips", parts={"train": 0.6, "val": 0.2, "test": 0.2}, by="object", on_conflict="exclude"
    )
    dataset.tag("before")
    order = rng.permutation(len(features))
    planted, changed = order[:faults], order[faults : faults + honest]
    new = _change_honestly(features, changed, rng)
    names, late = {}, {}
    for number, index in enumerate(planted):
        kind = ("moved", "shrunk", "cut", "class", "stale", "split")[number % 6]
        names[f"{kind} {number}"] = str(features.loc[index, "id"])
        if kind == "class":
            new.loc[index, "class"] = rng.choice([name for name in CLASSES if name != features.loc[index, "class"]])
        elif kind == "stale":
            late[index] = _distort(features.geometry[index], "jitter", rng)
        else:
            new.loc[index, "geometry"] = _distort(features.geometry[index], kind, rng)
    dataset.add_features(_write(new, inputs / "new.parquet"), id="id", class_="class", replace=True)
    removed = [str(name) for name in features.loc[changed[: honest // 50], "id"]]
    dataset.remove_features(removed)
    dataset.update(on_conflict="exclude")
    if late:
        rows = new.loc[list(late)].copy()
        rows["geometry"] = list(late.values())
        dataset.add_features(_write(rows, inputs / "late.parquet"), id="id", class_="class", replace=True)
    return Planted("before", "HEAD", names)


def _make_features(rng: np.random.Generator, side: int) -> geopandas.GeoDataFrame:
    """Return polygons of 4 to 10 pixels' radius, one in each cell of 24 by 24 pixels."""
    columns, rows = (index.ravel() for index in np.meshgrid(np.arange(side), np.arange(side)))
    x, y = WEST + PIXEL * (24 * columns + 12), NORTH - PIXEL * (24 * rows + 12)
    count = len(x)
    angles = np.linspace(0, 2 * np.pi, 9)[:-1] + rng.uniform(0, 0.5, (count, 8))
    radii = PIXEL * rng.uniform(4, 10, (count, 1)) * rng.uniform(0.8, 1.0, (count, 8))
    rings = np.stack([x[:, None] + radii * np.cos(angles), y[:, None] + radii * np.sin(angles)], axis=-1)
    names = [f"f{number:05d}" for number in range(count)]
    classes = rng.choice(CLASSES, count)
    table = {"id": names, "class": classes, "height": rng.uniform(2, 30, count).round(1), "status": "old"}
    return geopandas.GeoDataFrame(table, geometry=shapely.polygons(rings), crs="EPSG:32633")


def _change_honestly(
    features: geopandas.GeoDataFrame, changed: np.ndarray, rng: np.random.Generator
) -> geopandas.GeoDataFrame:
    new = features.copy()
    moved, refined, described, renamed, _ = np.array_split(changed, 5)
    new.loc[moved, "geometry"] = [_distort(shape, "jitter", rng) for shape in features.geometry[moved]]
    new.loc[refined, "geometry"] = [_distort(shape, "refine", rng) for shape in features.geometry[refined]]
    new.loc[described, "status"] = "checked"
    ponds = [index for index in renamed if features.loc[index, "class"] == "pond"]
    new.loc[ponds, "class"] = "lake"
    new.loc[[index for index in renamed if index not in set(ponds)], "height"] += 1
    added = _make_features(rng, 20).assign(id=lambda frame: "new" + frame["id"])
    added["geometry"] = added.translate(5, -7)
    return geopandas.GeoDataFrame(geopandas.pd.concat([new, added], ignore_index=True), crs=features.crs)


def _distort(shape: shapely.Polygon, kind: str, rng: np.random.Generator) -> shapely.Polygon:
    if kind == "jitter":
        return shapely.affinity.translate(shape, *rng.normal(0, 0.15 * PIXEL, 2))
    if kind == "refine":
        refined = shapely.segmentize(shape, 2 * PIXEL)
        noise = rng.normal(0, 0.08 * PIXEL, (shapely.get_num_coordinates(refined), 2))
        noise[-1] = noise[0]
        return shapely.set_coordinates(shapely.from_wkb(refined.wkb), shapely.get_coordinates(refined) + noise)
    if kind == "moved":
        angle, distance = rng.uniform(0, 2 * np.pi), PIXEL * rng.uniform(1.5, 3)
        return shapely.affinity.translate(shape, distance * np.cos(angle), distance * np.sin(angle))
    if kind == "shrunk":
        factor = np.sqrt(rng.uniform(0.7, 0.9))
        return shapely.affinity.scale(shape, factor, factor)
    west, south, east, north = shape.bounds
    if kind == "cut":
        wanted, low, high = rng.uniform(0.7, 0.9), 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            part = shape.intersection(shapely.box(west, south, west + middle * (east - west), north))
            low, high = (middle, high) if part.area < wanted * shape.area else (low, middle)
        return part
    gap = shapely.box((west + east) / 2 - PIXEL / 2, south, (west + east) / 2 + PIXEL / 2, north)
    return shape.difference(gap)


def _write(frame: geopandas.GeoDataFrame, path: Path) -> Path:
    frame.to_parquet(path)
    return path
