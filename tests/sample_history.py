"""A small dataset whose history holds every kind of event, told through the Python API from tiny real files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import numpy as np

from geographer import Cutter, Dataset
from geographer.base.values import Window
from tests.sample_rasters import pixels, write_scene

if TYPE_CHECKING:
    from geographer.storage.queries.table import Table

WEST, NORTH = 500_000.0, 5_200_000.0
PIXEL = 10.0
HEAD, V1 = 25, 8
"""The positions of the story's last event, and of what its tag v1 names."""
SHARES = {"train": 0.5, "test": 0.5}


def place(column: float, row: float) -> list[float]:
    """The coordinates in EPSG:32633 of a place on the grid of the first scene, in its pixels."""
    return [WEST + PIXEL * column, NORTH - PIXEL * row]


def square(column: float, row: float, side: float) -> dict:
    corners = [(0, 0), (side, 0), (side, side), (0, side), (0, 0)]
    return {"type": "Polygon", "coordinates": [[place(column + x, row + y) for x, y in corners]]}


def point(column: float, row: float) -> dict:
    return {"type": "Point", "coordinates": place(column, row)}


def bow_tie(column: float, row: float) -> dict:
    crossing = [(0, 0), (4, 4), (4, 0), (0, 4), (0, 0)]
    return {"type": "Polygon", "coordinates": [[place(column + x, row + y) for x, y in crossing]]}


def write_features(path: Path, features: dict[str, tuple[str, dict]]) -> Path:
    """A GeoJSON file of `features` (id to class and geometry) with columns of its own; its coordinates are metres."""
    members = [
        {
            "type": "Feature",
            "properties": {"id": name, "class": kind, "name": f'the "{name}"', "depth": 1.5, "surveyed": None},
            "geometry": geometry,
        }
        for name, (kind, geometry) in features.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    return path


def write_scenes(folder: Path, *names: str, beside: int = 0, seed: int = 1) -> list[Path]:
    """Scenes of 64 by 64 pixels, each 48 pixels east of the one before; the first one starts `beside` scenes east."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_scene(
            folder / f"{name}.tif",
            pixels(2, 64, 64, "uint8", seed=seed + number),
            transform=(PIXEL, 0.0, WEST + 480 * (number + beside), 0.0, -PIXEL, NORTH),
            nodata=0,
        )
        for number, name in enumerate(names)
    ]


def write_catalogue(path: Path) -> Path:
    feature = {"type": "Feature", "properties": {"id": "S2A", "cloud": 7}, "geometry": square(0, 0, 100)}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


FIRST = {
    "p1": ("pond", point(10.5, 10.5)),
    "p2": ("pond", square(12, 11, 4)),
    "q1": ("quarry", square(40, 40, 6)),
    "q2": ("quarry", point(55.5, 20.5)),
    "bent": ("pond", bow_tie(30, 30)),
}
MORE = {"p1": ("pond", square(9, 9, 3)), "p3": ("pond", point(70.5, 30.5)), "w1": ("water", square(41, 41, 2))}


class Corners(Cutter):
    """A chip in the upper left of every raster, as large as the recipe says."""

    version = "1.0"

    def windows(self, features: Any, rasters: Any, contained: Any, *, seed: int) -> list[tuple[str, Window]]:
        del features, contained, seed
        inset = self.options["inset"]
        return [
            (row["raster_id"], Window(inset, inset, row["chip_width"], row["chip_height"]))
            for row in rasters.to_pylist()
        ]


def ponds(features: Table) -> list[str]:
    """A selector: the features of one class."""
    return [row["feature_id"] for row in features.to_pylist() if row["class"] == "pond"]


def begin(root: Path, inputs: Path) -> Dataset:
    """The dataset up to its tag v1: features, rasters, a catalogue, two kinds of chips, masks, a split."""
    inputs.mkdir(parents=True, exist_ok=True)
    dataset = Dataset.init(root, background="water", scm=False, message="begin")
    first = write_features(inputs / "first.geojson", FIRST)
    dataset.add_features(first, crs="EPSG:32633", on_error="skip", message="first survey")
    dataset.add_rasters(write_scenes(inputs, "a", "b"), idempotency_key="scenes")
    dataset.add_catalogue(write_catalogue(inputs / "catalogue.geojson"), crs="EPSG:32633")
    dataset.cut_around_features("around", size=16)
    dataset.cut_grid("grid", size=(32, 32), bands=[2])
    dataset.label_masks("mask", collection="around")
    dataset.split("parts", collection="around", parts=SHARES, stratify="class")
    dataset.tag("v1", message="as published")
    return dataset


def go_on(dataset: Dataset, inputs: Path) -> Dataset:
    """What happens after v1: removals, the same ids again with other shapes, updates, other cuts and labels, and a second tag."""
    dataset.remove_features(["p1", "q2"], message="not ponds")
    dataset.remove_rasters(["around/a_q2", "b"])
    dataset.add_classes(["quay"])
    dataset.add_features(write_features(inputs / "more.geojson", MORE), crs="EPSG:32633", message="again")
    dataset.add_rasters(write_scenes(inputs / "second", "b", "c", beside=1, seed=7), mode="link")
    archive = write_scenes(dataset.root / "archive", "d", beside=3, seed=9)
    dataset.add_rasters(archive, mode="reference", collection="archive")
    dataset.update()
    cut_otherwise(dataset, inputs)
    dataset.label_boxes("bounds", collection="cover")
    dataset.remove_recipe("corners")
    dataset.tag("v2")
    return dataset


def cut_otherwise(dataset: Dataset, inputs: Path) -> None:
    """Chips of every other kind."""
    boxes = write_features(
        inputs / "boxes.geojson", {"north": ("", square(4, 5, 8)), "south": ("", square(20, 40, 10))}
    )
    dataset.cut_boxes("boxes", boxes, crs="EPSG:32633")
    dataset.cut_cover("cover", size=20, where=ponds, rasters_where="raster_id <> 'c'")
    dataset.cut_own("corners", cutter=Corners, size=8, options={"inset": 2})


class Story(NamedTuple):
    """The folders of the dataset at its head, of a copy made right after v1, and of the files that went in."""

    root: Path
    at_v1: Path
    inputs: Path


def told(folder: Path) -> Story:
    """The whole story, in `folder`."""
    story = Story(folder / "dataset", folder / "at v1", folder / "inputs")
    dataset = begin(story.root, story.inputs)
    shutil.copytree(story.root, story.at_v1)
    go_on(dataset, story.inputs)
    return story


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, by its path from there."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def cached(root: Path, path: str, at: int) -> Path:
    """The file in DVC's cache that a path of a dataset had at a position of its log."""
    last = "WHERE path = $path AND position <= $at ORDER BY position DESC LIMIT 1"
    with duckdb.connect(str(root / ".geographer" / "log.duckdb"), read_only=True) as connection:
        table = "label_change" if path.startswith("labels/") else "raster_change"
        found = connection.execute(f"SELECT md5 FROM {table} {last}", {"path": path, "at": at}).fetchone()
    assert found is not None
    return root / ".dvc" / "cache" / "files" / "md5" / found[0][:2] / found[0][2:]


def alter(path: Path) -> None:
    """Turn one bit of a file over, in place, whatever its permissions."""
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(flipped(content))


def flipped(content: bytes, position: int = -3) -> bytes:
    """`content` with one bit turned over."""
    changed = np.frombuffer(content, np.uint8).copy()
    changed[position] ^= 1
    return changed.tobytes()
